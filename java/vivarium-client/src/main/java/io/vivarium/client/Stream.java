package io.vivarium.client;

import io.grpc.ClientCall;
import io.grpc.Metadata;
import io.grpc.Status;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/**
 * A call with many answers, which are taken one by one. The next one is asked for when one is taken: whoever is
 * slow costs no more memory than one answer and {@link Link#WINDOW_BYTES}, and holds up no other call.
 */
final class Stream<Q, A> {
    private final ClientCall<Q, A> call;
    private final String endpoint;
    private final String method;
    /** One answer at most, and the end. */
    private final LinkedBlockingQueue<Object> answers = new LinkedBlockingQueue<>();

    private final CountDownLatch opened = new CountDownLatch(1);

    Stream(ClientCall<Q, A> call, String endpoint, String method) {
        this.call = call;
        this.endpoint = endpoint;
        this.method = method;
        call.start(new Listener(), new Metadata());
        call.request(1);
    }

    void send(Q message) {
        call.sendMessage(message);
    }

    /** Nothing more is sent. */
    void sentAll() {
        call.halfClose();
    }

    /**
     * The next answer; {@code null} if the time is over before.
     *
     * @throws VivariumException once the call has ended, however it did, and then again and again
     */
    @SuppressWarnings("unchecked")
    A next(Deadline deadline) throws InterruptedException {
        Object next = answers.poll(Math.max(0, deadline.leftNanos()), TimeUnit.NANOSECONDS);
        if (next instanceof End) {
            answers.add(next);
            End end = (End) next;
            if (end.status.isOk()) {
                throw VivariumException.broken("the stream ended");
            }
            Throwable thrown = end.status.asRuntimeException(end.trailers);
            throw VivariumException.of(end.status, thrown, endpoint, method);
        }
        if (next != null) {
            call.request(1);
        }
        return (A) next;
    }

    /** Returns once the member has taken the call, or refused it, which {@link #next} says. */
    boolean awaitOpened(Deadline deadline) throws InterruptedException {
        return opened.await(Math.max(0, deadline.leftNanos()), TimeUnit.NANOSECONDS);
    }

    void cancel() {
        call.cancel("nobody wants it any more", null);
    }

    private static final class End {
        final Status status;
        final Metadata trailers;

        End(Status status, Metadata trailers) {
            this.status = status;
            this.trailers = trailers;
        }
    }

    private final class Listener extends ClientCall.Listener<A> {
        @Override
        public void onHeaders(Metadata headers) {
            opened.countDown();
        }

        @Override
        public void onMessage(A message) {
            answers.add(message);
        }

        @Override
        public void onClose(Status status, Metadata trailers) {
            answers.add(new End(status, trailers));
            opened.countDown();
        }
    }
}
