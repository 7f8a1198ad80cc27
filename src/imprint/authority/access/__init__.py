"""Who may ask over the network: accounts, their roles and their certificates."""
