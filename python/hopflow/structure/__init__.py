"""What a graph is made of: ids, edges, feature columns, and questions about them."""
