"""Damaged and lying input files, by the hundred: each is read in a child process, and none may do more than be refused.

python -m tests.fuzz --count 3000 --seed 7
"""
