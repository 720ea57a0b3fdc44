"""What will go wrong, before anything is changed: objects and the server's answers in, checks out. Pure."""
