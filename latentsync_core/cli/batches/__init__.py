"""The batch command: its list, its rows and what does them, and what is printed in the end."""
