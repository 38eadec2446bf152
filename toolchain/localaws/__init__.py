"""The embedded AWS: moto's server in this process, and what it lacks of the services that the stacks use."""
