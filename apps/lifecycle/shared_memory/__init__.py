"""What the master and the workers of an instance share: typed fields, snapshots, the phase, the instance."""
