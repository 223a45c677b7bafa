import java.nio.charset.StandardCharsets;
import java.util.SortedMap;
import java.util.TreeMap;

/**
 * The ring as hosts on the JVM keep it: a TreeMap from points to servers. What `benches/ring.rs` is measured
 * beside. Prints nanoseconds of a build, nanoseconds of a look-up, bytes, and a sum of all owners.
 */
public class Ring {
    static final int POINTS = 131_072;

    static long scramble(long k) {
        return Long.rotateLeft(k * 0x87c37b91114253d5L, 31) * 0x4cf5ad432745937fL;
    }

    static long hash(String text) {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        long h = 104_729;
        int at = 0;
        for (; at + 8 <= bytes.length; at += 8) {
            long k = 0;
            for (int i = 7; i >= 0; i--) {
                k = k << 8 | bytes[at + i] & 0xff;
            }
            h ^= scramble(k);
            h = Long.rotateLeft(h, 27) * 5 + 0x52dce729L;
        }
        if (at < bytes.length) {
            long k = 0;
            for (int i = bytes.length - 1; i >= at; i--) {
                k = k << 8 | bytes[i] & 0xff;
            }
            h ^= scramble(k);
        }
        h ^= bytes.length;
        h = (h ^ h >>> 33) * 0xff51afd7ed558ccdL;
        h = (h ^ h >>> 33) * 0xc4ceb9fe1a85ec53L;
        return h ^ h >>> 33;
    }

    static SortedMap<Long, String> build(int servers) {
        SortedMap<Long, String> ring = new TreeMap<>();
        for (int server = 0; server < servers; server++) {
            String name = "10.0.0." + (server + 1) + ":10000";
            for (int point = 0; point < POINTS; point++) {
                ring.put(hash(name + point), name);
            }
        }
        return ring;
    }

    static String owner(SortedMap<Long, String> ring, long id) {
        long hash = hash(Long.toString(id));
        String exact = ring.get(hash);
        if (exact != null) {
            return exact;
        }
        SortedMap<Long, String> tail = ring.tailMap(hash);
        return ring.get(tail.isEmpty() ? ring.firstKey() : tail.firstKey());
    }

    static long used() throws InterruptedException {
        for (int i = 0; i < 3; i++) {
            System.gc();
            Thread.sleep(50);
        }
        Runtime runtime = Runtime.getRuntime();
        return runtime.totalMemory() - runtime.freeMemory();
    }

    public static void main(String[] arguments) throws InterruptedException {
        int servers = Integer.parseInt(arguments[0]);
        int keys = Integer.parseInt(arguments[1]);
        long best = Long.MAX_VALUE;
        SortedMap<Long, String> ring = null;
        // The first ones warm the compiler up.
        for (int round = 0; round < 8; round++) {
            ring = null;
            long began = System.nanoTime();
            ring = build(servers);
            best = Math.min(best, System.nanoTime() - began);
        }
        long lookup = Long.MAX_VALUE;
        long sum = 0;
        for (int round = 0; round < 5; round++) {
            sum = 0;
            long began = System.nanoTime();
            for (int id = 0; id < keys; id++) {
                String owner = owner(ring, id);
                sum += owner.charAt(7) - '0';
            }
            lookup = Math.min(lookup, System.nanoTime() - began);
        }
        long with = used();
        int points = ring.size();
        ring = null;
        long without = used();
        System.out.println(best + " " + lookup / keys + " " + (with - without) + " " + sum + " " + points);
    }
}
