package io.vivarium.client;

import io.vivarium.v1.RingServer;
import io.vivarium.v1.RingState;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.List;

/** A ring of one epoch, computed here. Whoever has the same epoch finds the same owners. */
public final class Ring {
    private static final int WEIGHT_NORMAL = 100;
    private static final int WEIGHT_MAX = 400;

    private final long epoch;
    private final List<String> servers;
    private final ConsistentHash<String> points;

    /** Takes some ten milliseconds for each server. */
    Ring(RingState state, RingMode mode) {
        epoch = state.getEpoch();
        List<String> names = new ArrayList<>();
        int[] replicas = new int[state.getServersCount()];
        for (RingServer server : state.getServersList()) {
            long weight = Math.min(server.getWeight() & 0xffff_ffffL, WEIGHT_MAX);
            replicas[names.size()] = (int) (ConsistentHash.REPLICAS * weight / WEIGHT_NORMAL);
            names.add(server.getName());
        }
        servers = Collections.unmodifiableList(names);
        points = mode == RingMode.WEIGHTED
                ? ConsistentHash.weighted(names, replicas) : new ConsistentHash<>(names);
    }

    /** The zxid of the change that made it what it is; 0 where there is no such path. */
    public long epoch() {
        return epoch;
    }

    /** In the order in which they registered; 256 at most. */
    public List<String> servers() {
        return servers;
    }

    /** Who owns a key; {@code null} on an empty ring. */
    public String owner(String key) {
        return points.get(key);
    }

    /** Whether {@code server} owns the task with this id. On an empty ring nothing is anybody's. */
    public boolean isLocal(String server, long id) {
        return server.equals(points.get(id));
    }

    /** Those of the tasks that {@code server} owns, in their order. */
    public List<Long> monitored(String server, Collection<Long> ids) {
        List<Long> own = new ArrayList<>();
        for (Long id : ids) {
            if (isLocal(server, id)) {
                own.add(id);
            }
        }
        return own;
    }

    @Override
    public String toString() {
        return "epoch " + epoch + " of " + servers;
    }
}
