package io.vivarium.client;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.List;

/**
 * Which server owns which task: the ring of Apache StreamPark's class of this name, with the same names and the
 * same owners, bit for bit.
 *
 * <p>Each server has 131,072 points, at {@code hash64(server + i)}; a key is its owner's who has the first point at
 * or behind the key's hash, and past the last point the first of all. Servers and keys are hashed as the UTF-8
 * bytes of their {@code toString()}. Where the original looks odd it is kept: of servers with a point at the same
 * place the one that was added last has it, and removing either takes it away. That concerns names of which one is
 * another with digits behind it ({@code host:1} and {@code host:11}), and not addresses with ports of one length.
 *
 * <p>Unlike the original it may be used by many threads: whoever asks while it changes is answered by the ring
 * before or after. It takes about 2 MB for each server. Adding or removing one takes some ten milliseconds.
 */
public final class ConsistentHash<T> {
    /** Points of each server, the original's {@code 2 << 16}. Another number gives other owners. */
    public static final int REPLICAS = 131_072;

    private volatile Points<T> points;

    public ConsistentHash(Collection<? extends T> servers) {
        List<Points<T>> each = new ArrayList<>(servers.size());
        for (T server : servers) {
            each.add(Points.of(server, REPLICAS));
        }
        points = Points.merged(each);
    }

    private ConsistentHash(Points<T> points) {
        this.points = points;
    }

    /** The ring of servers with so many points each. */
    static <T> ConsistentHash<T> weighted(List<? extends T> servers, int[] replicas) {
        List<Points<T>> each = new ArrayList<>(servers.size());
        for (int at = 0; at < servers.size(); at++) {
            each.add(Points.of(servers.get(at), replicas[at]));
        }
        return new ConsistentHash<>(Points.merged(each));
    }

    /** Adds a server. One that is there already takes back points that it shares, and has no more than before. */
    public synchronized void add(T server) {
        points = Points.merged(points, Points.of(server, REPLICAS));
    }

    /** Takes away all points at the places of this server, whoever has them. */
    public synchronized void remove(T server) {
        points = points.without(Points.of(server, REPLICAS));
    }

    /** Who owns a key; {@code null} on an empty ring. The id of a task is hashed as its decimal digits. */
    public T get(Object key) {
        return points.owner(Murmur3Hash.hash64(key.toString()));
    }

    /** How many points there are. */
    public long getSize() {
        return points.keys.length;
    }

    /** Points in the order of their keys, each key once. */
    private static final class Points<T> {
        final long[] keys;
        /** Beside each key, its owner. */
        final Object[] owners;

        Points(long[] keys, Object[] owners) {
            this.keys = keys;
            this.owners = owners;
        }

        static <T> Points<T> of(T server, int replicas) {
            long[] keys = new long[replicas];
            byte[] name = server.toString().getBytes(StandardCharsets.UTF_8);
            byte[] text = Arrays.copyOf(name, name.length + 10);
            for (int each = 0; each < replicas; each++) {
                keys[each] = Murmur3Hash.hash64(text, withDigits(text, name.length, each));
            }
            Arrays.sort(keys);
            int count = 0;
            for (int at = 0; at < replicas; at++) {
                if (at == 0 || keys[at] != keys[at - 1]) {
                    keys[count++] = keys[at];
                }
            }
            Object[] owners = new Object[count];
            Arrays.fill(owners, server);
            return new Points<>(Arrays.copyOf(keys, count), owners);
        }

        /** Writes a number at the end of a text, and returns where it ends. */
        private static int withDigits(byte[] text, int from, int number) {
            int length = 1;
            for (int left = number; left >= 10; left /= 10) {
                length++;
            }
            int left = number;
            for (int at = from + length - 1; at >= from; at--) {
                text[at] = (byte) ('0' + left % 10);
                left /= 10;
            }
            return from + length;
        }

        /** All of them, as if they were put one after the other. */
        static <T> Points<T> merged(List<Points<T>> all) {
            if (all.isEmpty()) {
                return new Points<>(new long[0], new Object[0]);
            }
            if (all.size() == 1) {
                return all.get(0);
            }
            int half = all.size() / 2;
            return merged(merged(all.subList(0, half)), merged(all.subList(half, all.size())));
        }

        /** At one place, the newer counts. */
        static <T> Points<T> merged(Points<T> older, Points<T> newer) {
            int most = older.keys.length + newer.keys.length;
            long[] keys = new long[most];
            Object[] owners = new Object[most];
            int count = 0;
            int old = 0;
            int now = 0;
            while (old < older.keys.length || now < newer.keys.length) {
                boolean takesNew = old == older.keys.length
                        || now < newer.keys.length && newer.keys[now] <= older.keys[old];
                if (takesNew) {
                    if (old < older.keys.length && older.keys[old] == newer.keys[now]) {
                        old++;
                    }
                    keys[count] = newer.keys[now];
                    owners[count++] = newer.owners[now++];
                } else {
                    keys[count] = older.keys[old];
                    owners[count++] = older.owners[old++];
                }
            }
            return count == most
                    ? new Points<>(keys, owners)
                    : new Points<>(Arrays.copyOf(keys, count), Arrays.copyOf(owners, count));
        }

        Points<T> without(Points<T> gone) {
            long[] left = new long[keys.length];
            Object[] leftOwners = new Object[keys.length];
            int count = 0;
            int out = 0;
            for (int at = 0; at < keys.length; at++) {
                while (out < gone.keys.length && gone.keys[out] < keys[at]) {
                    out++;
                }
                if (out == gone.keys.length || gone.keys[out] != keys[at]) {
                    left[count] = keys[at];
                    leftOwners[count++] = owners[at];
                }
            }
            return new Points<>(Arrays.copyOf(left, count), Arrays.copyOf(leftOwners, count));
        }

        @SuppressWarnings("unchecked")
        T owner(long hash) {
            if (keys.length == 0) {
                return null;
            }
            int at = Arrays.binarySearch(keys, hash);
            int place = at >= 0 ? at : -at - 1;
            return (T) owners[place < keys.length ? place : 0];
        }
    }
}
