"""How ``derive`` reads a network: statements about units, and what follows from them."""
