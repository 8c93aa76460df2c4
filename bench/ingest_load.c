/* Sends ready HTTP requests over keep-alive connections, one under way on each, and times every
   answer: it must not be the limit, since it shares two cores with what is measured. One thread,
   epoll. Arguments: port, connections, file, requests that are sent before the clock starts, and
   perhaps a rate: then so many are due each second, and an answer is timed from when its request was
   due, not from when a connection was free for it. The file holds one request after the other, each
   behind its length (32 bits, as this machine has it).
   Prints requests, answers of 200, seconds, p50 and p99 in seconds. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ROOM 65536
#define MOST 4096

struct line { int fd; size_t sent, held; const char *body; uint32_t size; double began; char in[ROOM]; };

static const char *next, *end;
static double *took, started;
static long asked, answered, good, warm, timed;
static double rate, opened; /* 0: as fast as they are answered */
static struct line *idle[MOST]; /* a ring: each gets its turn, since a server closes one that is silent */
static unsigned rested, woken;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void fail(const char *what) { perror(what); exit(1); }

static void push(struct line *l) {
    while (l->sent < l->size) {
        ssize_t n = write(l->fd, l->body + l->sent, l->size - l->sent);
        if (n < 0) return; /* the socket is full: epoll tells when it is not */
        l->sent += n;
    }
}

static void take(struct line *l) {
    l->body = NULL;
    if (next >= end) return;
    memcpy(&l->size, next, 4);
    l->body = next + 4;
    next += 4 + l->size;
    l->sent = l->held = 0;
    l->began = rate ? opened + asked / rate : now();
    if (asked++ == warm) started = l->began;
    push(l);
}

static void pull(struct line *l) {
    ssize_t n = read(l->fd, l->in + l->held, ROOM - 1 - l->held);
    if (n == 0) { fprintf(stderr, "the server closed a connection\n"); exit(1); }
    if (n < 0) return;
    l->in[l->held += n] = 0;
    char *head = strstr(l->in, "\r\n\r\n"), *length = strcasestr(l->in, "content-length:");
    if (!head || !length || l->in + l->held < head + 4 + atol(length + 15)) return;
    if (l->began >= started && asked > warm) took[timed++] = now() - l->began;
    good += !strncmp(l->in + 9, "200", 3);
    if (strncmp(l->in + 9, "200", 3) && answered - good < 3) fprintf(stderr, "%.300s\n", l->in);
    answered++;
    if (!rate) take(l);
    else { l->body = NULL; idle[rested++ % MOST] = l; }
}

/* Sends what is due, and waits for an answer or for the next one that is. */
static void pace(int poll_fd) {
    struct pollfd p = {.fd = poll_fd, .events = POLLIN};
    struct timespec wait = {60, 0};
    while (rate && woken != rested && next < end) {
        double left = opened + asked / rate - now();
        if (left > 0) {
            wait = (struct timespec){(time_t)left, (long)((left - (time_t)left) * 1e9)};
            break;
        }
        take(idle[woken++ % MOST]);
    }
    if (ppoll(&p, 1, &wait, NULL) < 0 || (!rate && !p.revents)) fail("no answer within 60 s");
}

static int less(const void *a, const void *b) {
    double d = *(const double *)a - *(const double *)b;
    return d < 0 ? -1 : d > 0;
}

int main(int argc, char **argv) {
    if (argc != 5 && argc != 6) return 2;
    rate = argc == 6 ? atof(argv[5]) : 0;
    int lines = atoi(argv[2]), file = open(argv[3], O_RDONLY), poll = epoll_create1(0);
    struct stat st;
    if (lines > MOST || file < 0 || fstat(file, &st)) fail(argv[3]);
    next = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, file, 0);
    end = next + st.st_size;
    warm = atol(argv[4]);
    took = malloc(sizeof(double) * (st.st_size / 4 + 1));
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    struct line *all = calloc(lines, sizeof *all);
    for (int i = 0, on = 1; i < lines; i++) {
        all[i].fd = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(all[i].fd, (struct sockaddr *)&to, sizeof to)) fail("connect");
        setsockopt(all[i].fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        fcntl(all[i].fd, F_SETFL, O_NONBLOCK);
        struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = &all[i]};
        epoll_ctl(poll, EPOLL_CTL_ADD, all[i].fd, &e);
    }
    opened = now();
    for (int i = 0; i < lines; i++) {
        if (rate) idle[rested++ % MOST] = &all[i];
        else take(&all[i]);
    }
    while (answered < asked || (rate && next < end)) {
        struct epoll_event found[256];
        pace(poll);
        int n = epoll_wait(poll, found, 256, 0);
        for (int i = 0; i < n; i++) {
            struct line *l = found[i].data.ptr;
            if (!l->body) continue;
            if (found[i].events & EPOLLOUT) push(l);
            if (found[i].events & (EPOLLIN | EPOLLHUP)) pull(l);
        }
    }
    double seconds = now() - started;
    qsort(took, timed, sizeof *took, less);
    printf("%ld %ld %.6f %.6f %.6f\n", answered, good, seconds, took[timed / 2], took[timed * 99 / 100]);
    return 0;
}
