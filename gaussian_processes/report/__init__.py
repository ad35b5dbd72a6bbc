"""Reports as pages: HTML without a network, for light and dark screens of any width."""
