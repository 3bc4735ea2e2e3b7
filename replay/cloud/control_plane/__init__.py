"""The control plane: moto's backends, extended by what they lack, and the seams to our data plane and gateway."""
