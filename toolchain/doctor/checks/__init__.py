"""What `doctor` checks, a module for each subject."""
