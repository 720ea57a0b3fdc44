"""Names, labels and quantities: what every layer may use. Pure."""
