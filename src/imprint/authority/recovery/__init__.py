"""Going on after decisions were lost: a workspace that is older than what it had decided."""
