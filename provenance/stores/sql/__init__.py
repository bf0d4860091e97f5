"""What every SQL store shares: the statements over its tables. Connections, failures and schema are the store's own."""
