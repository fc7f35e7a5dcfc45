"""What draws: neighbours, pairs without an edge, and the random stream behind them."""
