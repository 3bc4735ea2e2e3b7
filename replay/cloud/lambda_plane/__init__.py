"""The Lambda data plane: execution environments are OS processes that run AWS's runtime client on the deployed zip."""
