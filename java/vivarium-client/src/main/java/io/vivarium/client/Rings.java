package io.vivarium.client;

import io.vivarium.v1.AcknowledgeRingRequest;
import io.vivarium.v1.AcknowledgeRingResponse;
import io.vivarium.v1.DescribeRingRequest;
import io.vivarium.v1.GrantedRequest;
import io.vivarium.v1.GrantedResponse;
import io.vivarium.v1.MovedRequest;
import io.vivarium.v1.MovedResponse;
import io.vivarium.v1.OwnersRequest;
import io.vivarium.v1.OwnersResponse;
import io.vivarium.v1.PickRequest;
import io.vivarium.v1.RingServiceGrpc;
import io.vivarium.v1.RingState;
import io.vivarium.v1.SlotRequest;
import io.vivarium.v1.SlotResponse;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;

/**
 * Rings: who is responsible for what, among those who are registered right below a path. Asked of the ensemble, or
 * followed and computed here. Every method throws {@link VivariumException}.
 */
public final class Rings {
    /** Keys of one question. */
    public static final int KEYS_MAX = 10_000;

    private final VivariumClient client;

    Rings(VivariumClient client) {
        this.client = client;
    }

    DescribeRingRequest request(String path, RingMode mode) {
        return DescribeRingRequest.newBuilder()
                .setPath(path)
                .setMode(mode.message)
                .setRead(client.readOptions())
                .build();
    }

    /** The ring as it is, to be asked here. */
    public Ring describe(String path, RingMode mode) {
        RingState state = client.read(RingServiceGrpc.getDescribeMethod(), () -> request(path, mode));
        client.core.saw(state.getEpoch());
        return new Ring(state, mode);
    }

    /**
     * The owner of a key by the newest epoch.
     *
     * @throws VivariumException EMPTY_RING
     */
    public String owner(String path, RingMode mode, String key) {
        List<String> keys = new ArrayList<>();
        keys.add(key);
        return owners(path, mode, keys).owners().get(0);
    }

    /**
     * The owners of 1 to 10,000 keys, of 1,024 bytes each at most, by one epoch: the newest.
     *
     * @throws VivariumException EMPTY_RING
     */
    public Owners owners(String path, RingMode mode, Collection<String> keys) {
        return owners(OwnersRequest.newBuilder().setPath(path).setMode(mode.message).addAllKeys(keys));
    }

    /**
     * As {@link #owners(String, RingMode, Collection)}, by this epoch and no other one.
     *
     * @throws VivariumException EMPTY_RING; STALE_EPOCH where the ring is of another one
     */
    public Owners owners(String path, RingMode mode, Collection<String> keys, long epoch) {
        return owners(OwnersRequest.newBuilder()
                .setPath(path)
                .setMode(mode.message)
                .addAllKeys(keys)
                .setEpoch(epoch));
    }

    /**
     * As {@link #owners(String, RingMode, Collection)}, with consistent hashing of bounded loads: a key whose owner has its
     * fill passes on along the ring.
     *
     * @param loadFactor more than 1: no owner is to have more than so many times the average of all loads
     * @param loads what each server has already, by its name; a key that is given to it here counts as 1
     * @throws VivariumException EMPTY_RING; INVALID_ARGUMENT for another factor
     */
    public Owners owners(
            String path, RingMode mode, Collection<String> keys, double loadFactor, Map<String, Long> loads) {
        return owners(OwnersRequest.newBuilder()
                .setPath(path)
                .setMode(mode.message)
                .addAllKeys(keys)
                .setLoadFactor(loadFactor)
                .putAllLoads(loads));
    }

    private Owners owners(OwnersRequest.Builder request) {
        OwnersResponse answer = client.read(
                RingServiceGrpc.getOwnersMethod(), () -> request.setRead(client.readOptions()).build());
        client.core.saw(answer.getEpoch());
        if (answer.getOwnersCount() != request.getKeysCount()) {
            throw VivariumException.broken("there is not one owner for each key");
        }
        return new Owners(answer.getEpoch(), new ArrayList<>(answer.getOwnersList()));
    }

    /**
     * Which of the keys have another owner by the newest epoch than by an earlier one.
     *
     * @throws VivariumException COMPACTED for an epoch that the member which answers does not remember
     */
    public List<MovedKey> moved(String path, RingMode mode, Collection<String> keys, long fromEpoch) {
        return moved(MovedRequest.newBuilder()
                .setPath(path)
                .setMode(mode.message)
                .setFromEpoch(fromEpoch)
                .addAllKeys(keys)
                .build());
    }

    /** As {@link #moved(String, RingMode, Collection, long)}, by this later epoch instead of the newest. */
    public List<MovedKey> moved(String path, RingMode mode, Collection<String> keys, long fromEpoch, long toEpoch) {
        return moved(MovedRequest.newBuilder()
                .setPath(path)
                .setMode(mode.message)
                .setFromEpoch(fromEpoch)
                .setToEpoch(toEpoch)
                .addAllKeys(keys)
                .build());
    }

    private List<MovedKey> moved(MovedRequest request) {
        MovedResponse answer = client.read(RingServiceGrpc.getMovedMethod(), () -> request);
        List<MovedKey> moved = new ArrayList<>();
        answer.getMovedList().forEach(each -> moved.add(new MovedKey(each)));
        return moved;
    }

    /**
     * One server for a piece of work. Each member counts its own picks; one whose answer was lost counts.
     *
     * @throws VivariumException EMPTY_RING where none may be picked
     */
    public String pick(String path, PickStrategy strategy) {
        PickRequest request =
                PickRequest.newBuilder().setPath(path).setStrategy(strategy.message).build();
        return client.read(RingServiceGrpc.getPickMethod(), () -> request).getServer();
    }

    /**
     * The share of work of one server, among those that are not busy.
     *
     * @throws VivariumException NO_ENTRY where it is not among them: then it takes no work
     */
    public Slot slot(String path, String server) {
        SlotResponse answer = client.read(RingServiceGrpc.getSlotMethod(), () -> SlotRequest.newBuilder()
                .setPath(path)
                .setServer(server)
                .setRead(client.readOptions())
                .build());
        return new Slot(answer.getEpoch(), answer.getSlot(), answer.getTotal());
    }

    /**
     * Says that {@code server}, for which this client's session stands, acts by this epoch (of the ring of equals),
     * and has stopped everything that is not its own by it. The answer is what grants are asked for with. It holds
     * until the session ends, or the next one.
     *
     * @throws VivariumException STALE_EPOCH where the ring is of another epoch; ALREADY_REGISTERED while another
     *     session stands for this server
     */
    public long acknowledge(String path, String server, long epoch) {
        AcknowledgeRingResponse answer = client.write(
                RingServiceGrpc.getAcknowledgeMethod(), header -> AcknowledgeRingRequest.newBuilder()
                        .setHeader(header)
                        .setPath(path)
                        .setServer(server)
                        .setEpoch(epoch)
                        .build());
        client.core.saw(answer.getZxid());
        return answer.getZxid();
    }

    /**
     * On which of 1 to 10,000 keys the server may act, and who else still does. Who had a key has to stop before
     * who gets it is granted it; once granted, it stays so for as long as the server's acknowledgements go on
     * giving it the key.
     *
     * @throws VivariumException NO_ENTRY unless the acknowledgement that was answered so is in force
     */
    public List<KeyGrant> granted(String path, String server, long acknowledged, Collection<String> keys) {
        GrantedRequest request = GrantedRequest.newBuilder()
                .setPath(path)
                .setServer(server)
                .setAcknowledged(acknowledged)
                .addAllKeys(keys)
                .build();
        GrantedResponse answer = client.read(RingServiceGrpc.getGrantedMethod(), () -> request);
        if (answer.getGrantsCount() != keys.size()) {
            throw VivariumException.broken("there is not one grant for each key");
        }
        List<KeyGrant> grants = new ArrayList<>();
        answer.getGrantsList().forEach(each -> grants.add(new KeyGrant(each)));
        return grants;
    }

    /**
     * Follows a ring: the listener is told of it as it is, and as it changes from now on.
     *
     * @throws VivariumException as {@link #describe}
     */
    public RingWatch watch(String path, RingMode mode, RingListener listener) {
        return new RingWatch(this, client, path, mode, listener);
    }
}
