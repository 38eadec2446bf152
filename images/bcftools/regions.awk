# Shard SHARD of SHARDS of a genome, counted from 0, as BED lines: parts that take about as long to call, cut through
# sequences where need be.
#
#   od -An -v -tu4 BAM.bai | awk -v SHARD=0 -v SHARDS=4 -v FAI=FASTA.fai -f regions.awk
#
# What a window of 16 kb costs is taken from the index of the BAM: the compressed bytes of the reads that begin there,
# and a little for each base, of which there are many without a read. Where no .bai is read, or one of other sequences,
# every base costs the same. (SAM specification, section 5.2: windows, and virtual offsets, whose upper 48 bits count
# bytes.)

function next_word() {
    while (at >= words) {
        if ((getline line) <= 0) return broken = 1
        words = split(line, word)
        at = 0
    }
    return word[++at]
}

function next_offset(    low) {
    low = next_word()
    return next_word() * 65536 + int(low / 65536)
}

function skip(count) {
    while (count-- > 0 && !broken) next_word()
}

# Where the reads of each window of a sequence begin in the BAM: bytes[0], bytes[1]... Returns how many there are.
function next_sequence(    bins, chunks, last, windows, i) {
    last = 0
    for (bins = next_word(); bins > 0 && !broken; bins--) {
        if (next_word() == 37450) { # no bin: where the sequence's reads begin and end, and how many there are
            next_word()
            next_offset()
            last = next_offset()
            skip(4)
        } else {
            chunks = next_word()
            skip(4 * chunks)
        }
    }
    windows = next_word()
    for (i = 0; i < windows && !broken; i++) bytes[i] = next_offset()
    bytes[windows] = last
    # A window before the first read has none.
    for (i = windows - 1; i >= 0; i--) if (!bytes[i]) bytes[i] = bytes[i + 1]
    return windows
}

function add(sequence, start, end, cost) {
    parts++
    name[parts] = sequence; from[parts] = start; to[parts] = end
    weight[parts] = cost
    total += cost
}

function by_reads(    i, windows, window, start, end, cost) {
    if (next_word() != 21578050 || next_word() != sequences) return 0 # "BAI\1"
    for (i = 1; i <= sequences; i++) {
        windows = next_sequence()
        if (broken) return 0
        for (window = 0; (start = window * 16384) < size[i]; window++) {
            end = start + 16384 < size[i] ? start + 16384 : size[i]
            cost = window < windows && bytes[window + 1] > bytes[window] ? bytes[window + 1] - bytes[window] : 0
            add(sequence[i], start, end, cost + (end - start) / 16)
        }
    }
    return 1
}

function by_bases(    i) {
    parts = total = 0
    for (i = 1; i <= sequences; i++) add(sequence[i], 0, size[i], size[i])
}

# The base at which the parts before it and so much of part i weigh `weighed`.
function cut(i, before, weighed) {
    if (weighed <= before) return from[i]
    if (weighed >= before + weight[i]) return to[i]
    return from[i] + int((weighed - before) / weight[i] * (to[i] - from[i]))
}

function say() {
    if (region != "") printf "%s\t%.0f\t%.0f\n", region, first, last
}

BEGIN {
    while ((getline line < FAI) > 0) {
        split(line, field, "\t")
        sequence[++sequences] = field[1]
        size[sequences] = field[2] + 0
    }
    words = at = broken = 0
    if (!by_reads()) by_bases()
    lower = total * SHARD / SHARDS
    # The last shard ends with the genome, whatever division has lost.
    upper = SHARD + 1 == SHARDS ? total + 1 : total * (SHARD + 1) / SHARDS
    region = ""
    for (i = 1; i <= parts; i++) {
        start = cut(i, before, lower)
        end = cut(i, before, upper)
        before += weight[i]
        if (start >= end) continue
        if (name[i] == region && last == start) { last = end; continue }
        say()
        region = name[i]; first = start; last = end
    }
    say()
    # What writes is not to be hung up on: it would end as a failure.
    while ((getline line) > 0) continue
}
