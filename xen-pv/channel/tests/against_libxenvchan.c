/*
 * Xen's own libxenvchan, asked over a pipe. What it needs of Xen is memory and counters of this process: a grant is the
 * number of a page of one file, mapping it maps that page, and an event is counted.
 *
 * A request is five words, the last of which says how many bytes follow; an answer is two, the last as well.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <xengnttab.h>
#include <xenevtchn.h>
#include <xenstore.h>
#include <libxenvchan.h>

#define PAGE 4096
#define PAGES 2048

static int file;
static unsigned char *memory;
/* Grants begin here, so that neither 0 nor an index is one. */
static const uint32_t first_grant = 100;
static uint32_t granted;
static uint32_t events;
static char ring_ref[16], event_channel[16];
/* What is to be zeroed when this address is unmapped. */
static unsigned char *notify_address, *notify_byte;

static void fail(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

/* Maps pages one behind the other, in the order of their grants. */
static void *map(uint32_t count, const uint32_t *grants, int prot)
{
    unsigned char *start = mmap(NULL, (size_t)count * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED)
        fail("mmap");
    for (uint32_t index = 0; index < count; index++) {
        off_t offset = (off_t)(grants[index] - first_grant) * PAGE;
        if (grants[index] < first_grant || grants[index] - first_grant >= PAGES)
            return NULL;
        if (mmap(start + (size_t)index * PAGE, PAGE, prot, MAP_SHARED | MAP_FIXED, file, offset) == MAP_FAILED)
            fail("mmap");
    }
    return start;
}

/* So many new pages, the last of which has the first grant: their order is not that of the numbers. */
static void grant(uint32_t count, uint32_t *grants)
{
    for (uint32_t index = 0; index < count; index++)
        grants[index] = first_grant + granted + count - 1 - index;
    granted += count;
    if (granted > PAGES)
        fail("pages");
}

static void unmapped(void *address)
{
    if (address == notify_address)
        *notify_byte = 0;
}

xengnttab_handle *xengnttab_open(struct xentoollog_logger *logger, unsigned flags) { return malloc(1); }
int xengnttab_close(xengnttab_handle *handle) { free(handle); return 0; }
xengntshr_handle *xengntshr_open(struct xentoollog_logger *logger, unsigned flags) { return malloc(1); }
int xengntshr_close(xengntshr_handle *handle) { free(handle); return 0; }

void *xengnttab_map_domain_grant_refs(xengnttab_handle *handle, uint32_t count, uint32_t domid, uint32_t *refs, int prot)
{
    return map(count, refs, prot);
}

/* The byte of a page to be zeroed when the page is unmapped here. */
static void *notified(unsigned char *address, uint32_t ref, uint32_t offset)
{
    notify_address = address;
    notify_byte = memory + (size_t)(ref - first_grant) * PAGE + offset;
    return address;
}

void *xengnttab_map_grant_ref_notify(xengnttab_handle *handle, uint32_t domid, uint32_t ref, int prot, uint32_t offset,
                                     evtchn_port_t port)
{
    return notified(map(1, &ref, prot), ref, offset);
}

int xengnttab_unmap(xengnttab_handle *handle, void *address, uint32_t count)
{
    unmapped(address);
    return munmap(address, (size_t)count * PAGE);
}

void *xengntshr_share_pages(xengntshr_handle *handle, uint32_t domid, int count, uint32_t *refs, int writable)
{
    grant(count, refs);
    return map(count, refs, PROT_READ | PROT_WRITE);
}

void *xengntshr_share_page_notify(xengntshr_handle *handle, uint32_t domid, uint32_t *ref, int writable, uint32_t offset,
                                  evtchn_port_t port)
{
    void *address = xengntshr_share_pages(handle, domid, 1, ref, writable);
    return notified(address, *ref, offset);
}

int xengntshr_unshare(xengntshr_handle *handle, void *address, uint32_t count)
{
    unmapped(address);
    return munmap(address, (size_t)count * PAGE);
}

xenevtchn_handle *xenevtchn_open(struct xentoollog_logger *logger, unsigned int flags) { return malloc(1); }
int xenevtchn_close(xenevtchn_handle *handle) { free(handle); return 0; }
int xenevtchn_fd(xenevtchn_handle *handle) { return -1; }
int xenevtchn_notify(xenevtchn_handle *handle, evtchn_port_t port) { events++; return 0; }
int xenevtchn_unbind(xenevtchn_handle *handle, evtchn_port_t port) { return 0; }
int xenevtchn_unmask(xenevtchn_handle *handle, evtchn_port_t port) { return 0; }
xenevtchn_port_or_error_t xenevtchn_pending(xenevtchn_handle *handle) { return 7; }
xenevtchn_port_or_error_t xenevtchn_bind_unbound_port(xenevtchn_handle *handle, uint32_t domid) { return 7; }
xenevtchn_port_or_error_t xenevtchn_bind_interdomain(xenevtchn_handle *handle, uint32_t domid, evtchn_port_t port)
{
    return port == strtoul(event_channel, NULL, 10) ? 7 : -1;
}

struct xs_handle *xs_open(unsigned long flags) { return malloc(1); }
void xs_close(struct xs_handle *handle) { free(handle); }
xs_transaction_t xs_transaction_start(struct xs_handle *handle) { return 1; }
bool xs_transaction_end(struct xs_handle *handle, xs_transaction_t transaction, bool abort) { return true; }
bool xs_rm(struct xs_handle *handle, xs_transaction_t transaction, const char *path) { return true; }
bool xs_set_permissions(struct xs_handle *handle, xs_transaction_t transaction, const char *path,
                        struct xs_permissions *permissions, unsigned int count)
{
    return true;
}

static char *node(const char *path)
{
    const char *leaf = strrchr(path, '/');
    if (leaf && !strcmp(leaf, "/ring-ref"))
        return ring_ref;
    if (leaf && !strcmp(leaf, "/event-channel"))
        return event_channel;
    return NULL;
}

bool xs_write(struct xs_handle *handle, xs_transaction_t transaction, const char *path, const void *data, unsigned int size)
{
    if (node(path))
        snprintf(node(path), sizeof ring_ref, "%.*s", (int)size, (const char *)data);
    return true;
}

void *xs_read(struct xs_handle *handle, xs_transaction_t transaction, const char *path, unsigned int *size)
{
    char *value = strdup(node(path) ? node(path) : "1");
    if (size)
        *size = strlen(value);
    return value;
}

enum { SERVER, CLIENT, GRANT, PEEK, POKE, SET, CLEAR, READ, RECV, WRITE, SEND, READY, SPACE, OPEN, CLOSE, EVENTS };

static void take(void *destination, size_t size)
{
    if (size && fread(destination, size, 1, stdin) != 1)
        exit(0);
}

int main(void)
{
    static unsigned char bytes[PAGES * PAGE];
    struct libxenvchan *channel = NULL;
    uint32_t request[5];

    file = memfd_create("pages", 0);
    if (file < 0 || ftruncate(file, PAGES * PAGE))
        fail("memfd");
    memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (memory == MAP_FAILED)
        fail("mmap");
    for (;;) {
        int32_t answer[2] = { 0, 0 };
        take(request, sizeof request);
        take(bytes, request[4]);
        unsigned char *at = memory + (size_t)(request[1] - first_grant) * PAGE + request[2];
        switch (request[0]) {
        case SERVER:
            granted = events = 0;
            channel = libxenvchan_server_init(NULL, 1, "/base", request[1], request[2]);
            answer[0] = channel ? atoi(ring_ref) : -1;
            break;
        case CLIENT:
            events = 0;
            snprintf(ring_ref, sizeof ring_ref, "%u", request[1]);
            snprintf(event_channel, sizeof event_channel, "%u", 9);
            channel = libxenvchan_client_init(NULL, 1, "/base");
            answer[0] = channel ? 0 : -1;
            break;
        case GRANT:
            granted = 0;
            grant(request[1], (uint32_t *)bytes);
            answer[1] = request[1] * 4;
            break;
        case PEEK:
            memcpy(bytes, at, request[3]);
            answer[1] = request[3];
            break;
        case POKE:
            memcpy(at, bytes, request[4]);
            break;
        case SET:
            answer[0] = __sync_fetch_and_or(at, request[3]);
            break;
        case CLEAR:
            answer[0] = __sync_fetch_and_and(at, ~request[3]);
            break;
        case READ:
            answer[0] = libxenvchan_read(channel, bytes, request[1]);
            answer[1] = answer[0] > 0 ? answer[0] : 0;
            break;
        case RECV:
            answer[0] = libxenvchan_recv(channel, bytes, request[1]);
            answer[1] = answer[0] > 0 ? answer[0] : 0;
            break;
        case WRITE:
            answer[0] = libxenvchan_write(channel, bytes, request[4]);
            break;
        case SEND:
            answer[0] = libxenvchan_send(channel, bytes, request[4]);
            break;
        case READY:
            answer[0] = libxenvchan_data_ready(channel);
            break;
        case SPACE:
            answer[0] = libxenvchan_buffer_space(channel);
            break;
        case OPEN:
            answer[0] = libxenvchan_is_open(channel);
            break;
        case CLOSE:
            libxenvchan_close(channel);
            channel = NULL;
            break;
        case EVENTS:
            answer[0] = events;
            events = 0;
            break;
        default:
            return 1;
        }
        fwrite(answer, sizeof answer, 1, stdout);
        fwrite(bytes, 1, answer[1], stdout);
        fflush(stdout);
    }
}
