"""The stacks: CloudFormation templates deployed and destroyed in order, and never at the cost of data."""
