#!/bin/bash
# What the same packages do at their best in a script: alignments streamed into the sort, which also indexes, and
# variants called on as many regions at once as there are threads. The same calls as linear.sh makes.
#
#   pipeline.sh FASTA R1 R2 FOLDER THREADS
set -euo pipefail
export fasta=$1
mkdir "$4"
cd "$4"
bwa mem -t "$5" "$fasta" "$2" "$3" |
    samtools sort -@ "$5" -l 1 --write-index -o out.bam##idx##out.bam.bai -

# Four regions a thread, so that none is left alone with a long one. A line each: its number, and the genome's share
# as 1-based intervals with both ends in them, cut through sequences where need be. mpileup keeps to the positions of
# -r, however far reads reach over its ends: each position is in one region, and so is each record.
awk -v regions=$((4 * $5)) '
    { name[NR] = $1; size[NR] = $2; total += $2 }
    END {
        for (region = 0; region < regions; region++) {
            from = int(total * region / regions); to = int(total * (region + 1) / regions)
            before = 0; list = ""
            for (i = 1; i <= NR; i++) {
                start = from > before ? from - before : 0
                end = to < before + size[i] ? to - before : size[i]
                if (start < end) list = list sprintf("%s%s:%d-%d", list ? "," : "", name[i], start + 1, end)
                before += size[i]
            }
            if (list) printf "%04d %s\n", region, list
        }
    }' "$fasta.fai" > regions.txt
# shellcheck disable=SC2016  # expanded by the shell of each region
xargs -P "$5" -n 2 bash -euo pipefail -c '
    bcftools mpileup -f "$fasta" -r "$1" -Ou out.bam | bcftools call -mv -Oz -o "part.$0.vcf.gz"
' < regions.txt
bcftools concat --naive -o out.vcf.gz part.*.vcf.gz
bcftools index --tbi out.vcf.gz
