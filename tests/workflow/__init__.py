"""A package, so that a fixture can be this folder's: what it deploys is deployed once for all of it."""
