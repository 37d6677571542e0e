"""What `quantgate doctor` looks at: the machine, and a project on it. Nothing is changed."""
