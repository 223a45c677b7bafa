package io.vivarium.client;

import io.vivarium.v1.DescribeRingRequest;
import io.vivarium.v1.RingServiceGrpc;
import io.vivarium.v1.RingState;
import java.util.Objects;

/** A ring that is followed, also through other members when one fails, until this is closed. */
public final class RingWatch implements AutoCloseable {
    private final Rings rings;
    private final VivariumClient client;
    private final String path;
    private final RingMode mode;
    private final RingListener listener;
    private final Follower<DescribeRingRequest, RingState> follower;
    private volatile Ring current;

    RingWatch(Rings rings, VivariumClient client, String path, RingMode mode, RingListener listener) {
        this.rings = rings;
        this.client = client;
        this.path = path;
        this.mode = mode;
        this.listener = Objects.requireNonNull(listener, "listener");
        current = rings.describe(path, mode);
        follower = new Follower<>(client, "ring", "the ring " + path, RingServiceGrpc.getWatchMethod(), new Told());
        follower.start();
    }

    /** The ring as it was seen last: while the client is suspended it may have changed. */
    public Ring current() {
        return current;
    }

    private final class Told implements Follower.Told<DescribeRingRequest, RingState> {
        @Override
        public void begin() {
            tell(current);
        }

        @Override
        public DescribeRingRequest request() {
            return rings.request(path, mode);
        }

        @Override
        public void take(RingState state) {
            client.core.saw(state.getEpoch());
            if (state.getEpoch() != current.epoch()) {
                current = new Ring(state, mode);
                tell(current);
            }
        }

        private void tell(Ring ring) {
            follower.call(() -> listener.changed(ring));
        }

        @Override
        public void ended(VivariumException why) {
            follower.call(() -> listener.ended(why));
        }
    }

    /** Nothing is told after this has returned. It waits 5 seconds at most for a listener that does not return. */
    @Override
    public void close() {
        follower.close();
    }
}
