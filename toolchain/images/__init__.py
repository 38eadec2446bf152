"""Tool images: their catalogue, tags, builds, pushes to ECR and bills of materials."""
