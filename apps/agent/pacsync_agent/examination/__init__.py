"""The state of this machine: is its package set sound, and are its files those of the packages?"""
