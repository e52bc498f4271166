"""Python files and packages of the user that extend savs."""
