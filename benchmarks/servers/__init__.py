"""What is served beside this package, to compare with?"""
