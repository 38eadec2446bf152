#!/bin/bash
# The original's shape: SAM on disk, then sort, index, one mpileup, one call. Two things of it are put right, so
# that the same reads are called: it aligns both files, and it calls variant sites.
#
#   linear.sh FASTA R1 R2 FOLDER THREADS
set -euo pipefail
mkdir "$4"
cd "$4"
bwa mem -t "$5" "$1" "$2" "$3" > out.sam
samtools sort -@ "$5" -o out.bam out.sam
samtools index out.bam
bcftools mpileup --threads "$5" -f "$1" -Ob -o out.bcf out.bam
bcftools call -mv -o out.vcf out.bcf
