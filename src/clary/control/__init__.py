"""The platform: AWS's calls answered on this machine, and the work behind them done for real."""
