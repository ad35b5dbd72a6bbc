"""What README claims about speed, memory and quality, as commands: see README.md beside this file."""
