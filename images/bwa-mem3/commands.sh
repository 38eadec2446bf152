# The commands of the bwa-mem3 image; see README.md. Sourced by `step` after step.sh.
# shellcheck shell=dash
# shellcheck disable=SC2034  # read by step.sh
step_commands='index mem'
# shellcheck source=images/base/align.sh
. /usr/local/lib/step/align.sh

# What a batch of 10 Mb takes while it is aligned.
BATCH_MIB=320

# step index REFERENCE: prepares a reference once; see prepare_reference. The aligner reads no .0123.
do_index() {
    index_reference=${1:-}
    [ $# -le 1 ] || { shift && no_more "$@"; }
    prepare_reference index-bwa-mem3 bwa-mem2 25 '.ann .amb .pac .gzi .fai FASTA .bwt.2bit.64' "$index_reference" \
        bwa-mem2 index
}

# step mem REFERENCE SAMPLE LANE R1 R2 [LIBRARY [PLATFORM-UNIT]]: one lane's FASTQ pair, aligned, with mate
# tags for duplicate marking, sorted, as lanes/LANE.bam. R1 and R2 are paths below /scratch/data.
do_mem() {
    take_lane "$@"
    find_reference "$reference" .bwt.2bit.64 bwa-mem3
    input "$FASTA" "$FASTA.bwt.2bit.64" "$FASTA.pac" "$FASTA.ann" "$FASTA.amb"
    grep -qw avx2 /proc/cpuinfo || die usage "this processor has no AVX2" "bwa-mem3 is built for it" \
        "Use instances that have it, or the bwa image."
    begin_lane
    # The index, and the bases of both strands, a byte each: eight times the packed ones, which are held as well.
    share_memory $(($(mib_of "$FASTA.bwt.2bit.64") + $(mib_of "$FASTA.pac" 9)))
    flying=$((spare_mib / BATCH_MIB))
    [ "$flying" -ge 1 ] || flying=1
    [ "$flying" -le "$THREADS" ] || flying=$THREADS

    read_lane igzip -dc
    stage bwa-mem3 python3 -I /usr/local/lib/step/aligner --index "$FASTA" --threads "$flying" \
        --read-group "$group" --names "$r1" "$r2" --error mates.error r1 r2 2> aligner.log |
        sorted &
    finish_lane bwa-mem3
}
