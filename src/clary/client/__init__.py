"""The client's side of the platform: where the gateway is, and the environment that sends AWS programs to it."""
