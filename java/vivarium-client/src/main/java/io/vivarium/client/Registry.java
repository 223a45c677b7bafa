package io.vivarium.client;

import com.google.protobuf.ByteString;
import io.vivarium.v1.ChildrenRequest;
import io.vivarium.v1.ChildrenResponse;
import io.vivarium.v1.ExistsRequest;
import io.vivarium.v1.ExistsResponse;
import io.vivarium.v1.GetRequest;
import io.vivarium.v1.GetResponse;
import io.vivarium.v1.ListRequest;
import io.vivarium.v1.ListResponse;
import io.vivarium.v1.RegisterResponse;
import io.vivarium.v1.RegistryServiceGrpc;
import io.vivarium.v1.UnregisterRequest;
import io.vivarium.v1.UnregisterResponse;
import io.vivarium.v1.UpdateRequest;
import io.vivarium.v1.UpdateResponse;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.OptionalInt;

/**
 * Entries: registered, kept up to date, found, followed.
 *
 * <p>A path begins with {@code /} and does not end with it, has no empty, {@code .} or {@code ..} segment, 256
 * segments and 8,192 bytes at most ({@link Reason#INVALID_PATH}, {@link Reason#LIMIT_REACHED} where it is too long).
 * A value has {@code limits.frame_bytes_max} of the ensemble at most, 1 MiB unless it is set otherwise
 * ({@link Reason#VALUE_TOO_LARGE}). Every method throws {@link VivariumException}.
 */
public final class Registry {
    /** Names, and entries, that one answer may have; the rest is asked for with the next. */
    private static final int NAMES_OF_A_PAGE = 10_000;
    private static final int ENTRIES_OF_A_PAGE = 1_000;

    private final VivariumClient client;

    Registry(VivariumClient client) {
        this.client = client;
    }

    /**
     * Makes an entry be there with this value, for as long as the session lives. Missing parents are made.
     *
     * @throws VivariumException ALREADY_REGISTERED where another session has it; KIND_MISMATCH where it is
     *     persistent
     */
    public Registered register(String path, byte[] value) {
        return register(Registration.of(path).value(value));
    }

    /** As {@link #register(String, byte[])}, with the UTF-8 bytes of a text. */
    public Registered register(String path, String value) {
        return register(Registration.of(path).value(value));
    }

    /** As {@link #register(String, byte[])}, with what a node tells of itself. */
    public Registered register(String path, NodeInfo value) {
        return register(Registration.of(path).value(value));
    }

    /** As {@link #register(String, byte[])}, in every detail as asked for. */
    public Registered register(Registration wanted) {
        RegisterResponse answer = client.write(
                RegistryServiceGrpc.getRegisterMethod(), header -> wanted.request().setHeader(header).build());
        client.core.saw(answer.getZxid());
        return new Registered(answer);
    }

    /**
     * Makes a persistent entry be there with this value: it stays until somebody removes it. Missing parents are
     * made.
     *
     * @throws VivariumException KIND_MISMATCH where it is there and ends with a session
     */
    public Registered put(String path, byte[] value) {
        return register(Registration.of(path).value(value).lifetime(Lifetime.PERSISTENT));
    }

    /** As {@link #put(String, byte[])}, with the UTF-8 bytes of a text. */
    public Registered put(String path, String value) {
        return put(path, value.getBytes(StandardCharsets.UTF_8));
    }

    /** {@link #register(String, byte[])} by the name that hosts know. */
    public Registered putEphemeral(String path, byte[] value) {
        return register(path, value);
    }

    /** As {@link #putEphemeral(String, byte[])}, with the UTF-8 bytes of a text. */
    public Registered putEphemeral(String path, String value) {
        return register(path, value);
    }

    /**
     * Sets the value of an entry that is there.
     *
     * @return the version that it has now; nothing where an earlier attempt whose answer was lost had set it
     * @throws VivariumException NO_ENTRY
     */
    public OptionalInt update(String path, byte[] value) {
        return set(UpdateRequest.newBuilder().setPath(path).setValue(ByteString.copyFrom(value)));
    }

    /** As {@link #update(String, byte[])}, with the UTF-8 bytes of a text. */
    public OptionalInt update(String path, String value) {
        return update(path, value.getBytes(StandardCharsets.UTF_8));
    }

    /**
     * As {@link #update(String, byte[])}, if the entry has this version.
     *
     * @throws VivariumException NO_ENTRY; VERSION_MISMATCH
     */
    public OptionalInt update(String path, byte[] value, int version) {
        return set(UpdateRequest.newBuilder()
                .setPath(path)
                .setValue(ByteString.copyFrom(value))
                .setVersion(version));
    }

    /** As {@link #update(String, byte[])}, with what a node tells of itself. */
    public OptionalInt update(String path, NodeInfo value) {
        return set(UpdateRequest.newBuilder().setPath(path).setNode(value.message));
    }

    private OptionalInt set(UpdateRequest.Builder request) {
        UpdateResponse answer = client.write(
                RegistryServiceGrpc.getUpdateMethod(), header -> request.setHeader(header).build());
        client.core.saw(answer.getZxid());
        return answer.getReplayed() ? OptionalInt.empty() : OptionalInt.of(answer.getVersion());
    }

    /**
     * Removes an entry. That there is none is no error.
     *
     * @return how many are gone: 1 or 0, and 0 where an earlier attempt whose answer was lost had removed it
     * @throws VivariumException HAS_CHILDREN
     */
    public int delete(String path) {
        return remove(UnregisterRequest.newBuilder().setPath(path));
    }

    /**
     * As {@link #delete(String)}, if the entry has this version.
     *
     * @throws VivariumException VERSION_MISMATCH; HAS_CHILDREN
     */
    public int delete(String path, int version) {
        return remove(UnregisterRequest.newBuilder().setPath(path).setVersion(version));
    }

    /**
     * Removes an entry with everything below it, in one step, 10,000 entries at most.
     *
     * @throws VivariumException LIMIT_REACHED
     */
    public int deleteAll(String path) {
        return remove(UnregisterRequest.newBuilder().setPath(path).setRecursive(true));
    }

    private int remove(UnregisterRequest.Builder request) {
        UnregisterResponse answer = client.write(
                RegistryServiceGrpc.getUnregisterMethod(), header -> request.setHeader(header).build());
        client.core.saw(answer.getZxid());
        return answer.getRemoved();
    }

    /**
     * The entry.
     *
     * @throws VivariumException NO_ENTRY; ACCESS_DENIED
     */
    public Entry get(String path) {
        GetResponse answer = client.read(RegistryServiceGrpc.getGetMethod(), () -> GetRequest.newBuilder()
                .setPath(path)
                .setRead(client.readOptions())
                .build());
        client.core.saw(answer.getZxid());
        return new Entry(answer.getEntry());
    }

    /** The entry, if there is one. */
    public Optional<Entry> find(String path) {
        try {
            return Optional.of(get(path));
        } catch (VivariumException error) {
            if (error.is(Reason.NO_ENTRY)) {
                return Optional.empty();
            }
            throw error;
        }
    }

    /** Whether there is such an entry. */
    public boolean exists(String path) {
        ExistsResponse answer = client.read(RegistryServiceGrpc.getExistsMethod(), () -> ExistsRequest.newBuilder()
                .setPath(path)
                .setRead(client.readOptions())
                .build());
        client.core.saw(answer.getZxid());
        return answer.getExists();
    }

    /**
     * The names of the entries right below a path, ascending by their bytes; empty where there are none. Of more
     * than 10,000 they are read in parts, one after the other while others may write.
     *
     * @throws VivariumException NO_ENTRY where there is no such path
     */
    public List<String> children(String path) {
        List<String> names = new ArrayList<>();
        String[] token = {""};
        do {
            ChildrenResponse page =
                    client.read(RegistryServiceGrpc.getChildrenMethod(), () -> ChildrenRequest.newBuilder()
                            .setPath(path)
                            .setRead(client.readOptions())
                            .setPageSize(NAMES_OF_A_PAGE)
                            .setPageToken(token[0])
                            .build());
            client.core.saw(page.getZxid());
            names.addAll(page.getNamesList());
            token[0] = page.getNextPageToken();
        } while (!token[0].isEmpty());
        return names;
    }

    /**
     * The entries below a path with their values, children in ascending order. They are read in parts, a thousand
     * or a megabyte of values at a time, one after the other while others may write.
     *
     * @param depth 1: its children; 0: all
     * @throws VivariumException NO_ENTRY where there is no such path
     */
    public List<Entry> list(String path, int depth) {
        List<Entry> entries = new ArrayList<>();
        String[] token = {""};
        do {
            ListResponse page = client.read(RegistryServiceGrpc.getListMethod(), () -> ListRequest.newBuilder()
                    .setPath(path)
                    .setRead(client.readOptions())
                    .setDepth(depth)
                    .setPageSize(ENTRIES_OF_A_PAGE)
                    .setPageToken(token[0])
                    .build());
            client.core.saw(page.getZxid());
            page.getEntriesList().forEach(entry -> entries.add(new Entry(entry)));
            token[0] = page.getNextPageToken();
        } while (!token[0].isEmpty());
        return entries;
    }

    /**
     * Follows a path, which need not be there yet: what is at and below it is told first, then each change.
     *
     * @param listener called on a thread of the subscription
     * @throws VivariumException INVALID_PATH; ACCESS_DENIED; LIMIT_REACHED where the member has as many subscriptions
     *     as it may
     */
    public RegistrySubscription subscribe(String path, RegistryListener listener) {
        return subscribe(path, CacheOptions.standard(), listener);
    }

    /** As {@link #subscribe(String, RegistryListener)}, and holds as much as these say. */
    public RegistrySubscription subscribe(String path, CacheOptions options, RegistryListener listener) {
        return new RegistrySubscription(client, path, options, listener);
    }

    /**
     * Watches the names right below a path, which need not be there yet; returns once those that are there are known.
     *
     * @param listener called on a thread of the watch
     * @throws VivariumException INVALID_PATH; ACCESS_DENIED; LIMIT_REACHED for an entry with more than 100,000 children,
     *     also later
     */
    public ChildrenWatch watchChildren(String path, ChildrenListener listener) {
        return new ChildrenWatch(client, path, null, listener);
    }

    /** As {@link #watchChildren(String, ChildrenListener)}, told no more often than this; 100 ms without, a minute at most. */
    public ChildrenWatch watchChildren(String path, Duration interval, ChildrenListener listener) {
        return new ChildrenWatch(client, path, Objects.requireNonNull(interval, "interval"), listener);
    }

    /**
     * A copy of a path that is kept up to date, without a listener; returns once all that is there is in it.
     *
     * @throws VivariumException as {@link #subscribe}; CACHE_FULL; TIMED_OUT
     */
    public RegistrySubscription cache(String path) {
        return cache(path, CacheOptions.standard());
    }

    /** As {@link #cache(String)}, and holds as much as these say. */
    public RegistrySubscription cache(String path, CacheOptions options) {
        RegistrySubscription copy = subscribe(path, options, event -> {});
        boolean whole = false;
        try {
            if (!copy.awaitInitialized(client.requestTimeout)) {
                throw VivariumException.timedOut(false, null);
            }
            whole = true;
            return copy;
        } finally {
            if (!whole) {
                copy.close();
            }
        }
    }
}
