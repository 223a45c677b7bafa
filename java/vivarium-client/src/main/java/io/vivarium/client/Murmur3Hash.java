package io.vivarium.client;

import java.nio.charset.StandardCharsets;

/**
 * The 64-bit hash that places servers and tasks on the ring: the same bytes give the same number on every machine
 * and in every release, because hosts compute it too and owners follow from it.
 *
 * <p>Rules from Apache StreamPark's class of this name, which Apache Hive has as {@code Murmur3}. It runs one lane
 * of MurmurHash3 with constants of the 128-bit form, and is neither half of {@code MurmurHash3_x64_128}: common
 * libraries give other numbers.
 */
public final class Murmur3Hash {
    /** The start value of both originals. */
    private static final long SEED = 104_729;
    private static final long C1 = 0x87c3_7b91_1142_53d5L;
    private static final long C2 = 0x4cf5_ad43_2745_937fL;
    private static final int BLOCK = Long.BYTES;

    private Murmur3Hash() {}

    /** The hash of these bytes; signed, because the ring orders it so. */
    public static long hash64(byte[] bytes) {
        return hash64(bytes, bytes.length);
    }

    /** The hash of a text's UTF-8 bytes. */
    public static long hash64(String text) {
        return hash64(text.getBytes(StandardCharsets.UTF_8));
    }

    static long hash64(byte[] bytes, int length) {
        long hash = SEED;
        int at = 0;
        for (; at + BLOCK <= length; at += BLOCK) {
            hash ^= scrambled(littleEndian(bytes, at, BLOCK));
            hash = Long.rotateLeft(hash, 27) * 5 + 0x52dc_e729L;
        }
        if (at < length) {
            hash ^= scrambled(littleEndian(bytes, at, length - at));
        }
        return finished(hash ^ length);
    }

    private static long littleEndian(byte[] bytes, int from, int count) {
        long block = 0;
        for (int each = count - 1; each >= 0; each--) {
            block = block << 8 | bytes[from + each] & 0xff;
        }
        return block;
    }

    private static long scrambled(long block) {
        return Long.rotateLeft(block * C1, 31) * C2;
    }

    /** MurmurHash3's last step: every bit of the input reaches every bit of the result. */
    private static long finished(long hash) {
        long mixed = (hash ^ hash >>> 33) * 0xff51_afd7_ed55_8ccdL;
        mixed = (mixed ^ mixed >>> 33) * 0xc4ce_b9fe_1a85_ec53L;
        return mixed ^ mixed >>> 33;
    }
}
