"""Which hyperparameters make the best model?"""
