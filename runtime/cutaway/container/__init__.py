"""From a request to a running process: specification, plan, keeper, lifecycle."""
