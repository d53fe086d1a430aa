"""weightspace: learn from, improve, align and merge neural networks, respecting the symmetries of their weights."""
