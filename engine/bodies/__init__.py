"""Bodies: the body model, its skeleton, inverse kinematics, measurements and files."""
