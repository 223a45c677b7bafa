package io.vivarium.client;

/** How much a {@link RegistrySubscription} may hold; one that needs more ends with CACHE_FULL. */
public final class CacheOptions {
    final int entriesMax;
    final long bytesMax;

    private CacheOptions(int entriesMax, long bytesMax) {
        this.entriesMax = entriesMax;
        this.bytesMax = bytesMax;
    }

    /** {@link RegistrySubscription#ENTRIES_MAX} and {@link RegistrySubscription#BYTES_MAX}. */
    public static CacheOptions standard() {
        return new CacheOptions(RegistrySubscription.ENTRIES_MAX, RegistrySubscription.BYTES_MAX);
    }

    /**
     * Entries, 1 at least.
     *
     * @throws VivariumException INVALID_OPTIONS
     */
    public CacheOptions entriesMax(int entries) {
        if (entries < 1) {
            throw VivariumException.invalid("a copy holds one entry at least, and not " + entries);
        }
        return new CacheOptions(entries, bytesMax);
    }

    /**
     * Bytes of the paths and the values, 1 at least.
     *
     * @throws VivariumException INVALID_OPTIONS
     */
    public CacheOptions bytesMax(long bytes) {
        if (bytes < 1) {
            throw VivariumException.invalid("a copy holds one byte at least, and not " + bytes);
        }
        return new CacheOptions(entriesMax, bytes);
    }
}
