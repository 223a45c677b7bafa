package io.vivarium.plugin;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.grpc.HandlerRegistry;
import io.grpc.InsecureServerCredentials;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Server;
import io.grpc.ServerCall;
import io.grpc.ServerMethodDefinition;
import io.grpc.Status;
import io.grpc.okhttp.OkHttpServerBuilder;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;

/**
 * A member of another release, as far as a host can tell: it keeps sessions, knows none of the calls that it is not told
 * to refuse, and has fields in its answers that nobody knows here.
 */
final class OtherRelease implements AutoCloseable {
    private static final String SESSIONS = "vivarium.v1.SessionService/";
    /** {@code OpenResponse}: session 7, 10,000 ms; and field 1,000. */
    private static final byte[] OPENED = {0x0a, 0x02, 0x08, 0x07, 0x10, (byte) 0x90, 0x4e, (byte) 0xc0, 0x3e, 0x01};
    /** {@code KeepAliveRequest.sequence}, a varint, is what such a message ends with. */
    private static final byte SEQUENCE_ASKED = 0x10;
    private static final byte SEQUENCE_ANSWERED = 0x08;

    private static final Metadata.Key<byte[]> DETAILS =
        Metadata.Key.of("grpc-status-details-bin", Metadata.BINARY_BYTE_MARSHALLER);

    /** The reasons with which calls are refused. */
    final Map<String, String> refused = new ConcurrentHashMap<>();
    /** The calls that were refused with them. */
    final List<String> asked = new CopyOnWriteArrayList<>();
    private final Server server;

    OtherRelease() throws IOException {
        server = OkHttpServerBuilder.forPort(0, InsecureServerCredentials.create())
            .fallbackHandlerRegistry(new HandlerRegistry() {
                @Override
                public ServerMethodDefinition<?, ?> lookupMethod(String method, String authority) {
                    return method.startsWith(SESSIONS) || refused.containsKey(method) ? answer(method) : null;
                }
            }).build().start();
    }

    String address() {
        return "127.0.0.1:" + server.getPort();
    }

    private ServerMethodDefinition<byte[], byte[]> answer(String name) {
        boolean stream = name.endsWith("/KeepAlive");
        MethodDescriptor<byte[], byte[]> method = MethodDescriptor.newBuilder(new Bytes(), new Bytes()).setFullMethodName(name)
            .setType(stream ? MethodDescriptor.MethodType.BIDI_STREAMING : MethodDescriptor.MethodType.UNARY).build();
        return ServerMethodDefinition.create(method, (call, headers) -> {
            call.sendHeaders(new Metadata());
            call.request(1);
            return new ServerCall.Listener<byte[]>() {
                @Override
                public void onMessage(byte[] message) {
                    if (refused.containsKey(name)) {
                        asked.add(name);
                        Metadata trailers = new Metadata();
                        trailers.put(DETAILS, status(refused.get(name)));
                        call.close(Status.FAILED_PRECONDITION.withDescription("why"), trailers);
                        return;
                    }
                    call.sendMessage(stream ? alive(message) : name.endsWith("/Open") ? OPENED : new byte[0]);
                    if (stream) {
                        call.request(1);
                    } else {
                        call.close(Status.OK, new Metadata());
                    }
                }

                @Override
                public void onHalfClose() {
                    if (stream) {
                        call.close(Status.OK, new Metadata());
                    }
                }
            };
        });
    }

    /** {@code google.rpc.Status} with an {@code ErrorInfo}. */
    private static byte[] status(String reason) {
        byte[] info = joined(field(1, reason.getBytes(UTF_8)), field(2, "vivarium".getBytes(UTF_8)));
        byte[] any = joined(field(1, "type.googleapis.com/google.rpc.ErrorInfo".getBytes(UTF_8)), field(2, info));
        return joined(new byte[] {0x08, (byte) Status.Code.FAILED_PRECONDITION.value()}, field(3, any));
    }

    /** Of fewer than 128 bytes. */
    private static byte[] field(int number, byte[] value) {
        return joined(new byte[] {(byte) (number << 3 | 2), (byte) value.length}, value);
    }

    private static byte[] joined(byte[]... parts) {
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        for (byte[] part : parts) {
            all.writeBytes(part);
        }
        return all.toByteArray();
    }

    private static byte[] alive(byte[] sign) {
        int at = sign.length - 1;
        while (sign[at] != SEQUENCE_ASKED) {
            at--;
        }
        byte[] answer = Arrays.copyOfRange(sign, at, sign.length);
        answer[0] = SEQUENCE_ANSWERED;
        return answer;
    }

    private static final class Bytes implements MethodDescriptor.Marshaller<byte[]> {
        @Override
        public InputStream stream(byte[] value) {
            return new ByteArrayInputStream(value);
        }

        @Override
        public byte[] parse(InputStream stream) {
            try {
                return stream.readAllBytes();
            } catch (IOException failed) {
                throw new UncheckedIOException(failed);
            }
        }
    }

    @Override
    public void close() {
        server.shutdownNow();
    }
}
