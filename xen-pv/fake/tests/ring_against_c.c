/* Both ends of a ring, by the macros of Xen's io/ring.h. Reads operations and writes, after each, its outcome and the whole
 * page. KIND is netif_tx or netif_rx. */

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define xen_mb() __sync_synchronize()
#define xen_rmb() __sync_synchronize()
#define xen_wmb() __sync_synchronize()

#include <xen/xen.h>
#include <xen/grant_table.h>
#include <xen/io/netif.h>

#define JOIN_(kind, name) kind##name
#define JOIN(kind, name) JOIN_(kind, name)
#define REQUEST JOIN(KIND, _request_t)
#define RESPONSE JOIN(KIND, _response_t)

/* In the order of `Operation` in ring_against_c.rs. */
enum kind {
    INIT,
    ATTACH,
    FRONT_PUT,
    FRONT_PUSH,
    FRONT_ROOM,
    FRONT_RESPONSES,
    FRONT_TAKE,
    FRONT_FINAL_CHECK,
    FRONT_WAIT_FOR,
    FRONT_OVERFLOW,
    BACK_REQUESTS,
    BACK_TAKE,
    BACK_PUT,
    BACK_PUSH,
    BACK_FINAL_CHECK,
    BACK_OVERFLOW,
};

struct operation {
    uint32_t kind;
    uint32_t number;
    uint8_t message[12];
};

struct outcome {
    uint32_t number;
    uint8_t message[12];
    uint8_t page[4096];
};

static union {
    struct JOIN(KIND, _sring) ring;
    uint8_t bytes[4096];
} page __attribute__((aligned(4096)));

static struct JOIN(KIND, _front_ring) front;
static struct JOIN(KIND, _back_ring) back;

static uint32_t front_end(const struct operation *operation, struct outcome *outcome)
{
    uint32_t number = 0;

    switch (operation->kind) {
    case FRONT_PUT:
        memcpy(RING_GET_REQUEST(&front, front.req_prod_pvt), operation->message, sizeof(REQUEST));
        front.req_prod_pvt++;
        break;
    case FRONT_PUSH:
        RING_PUSH_REQUESTS_AND_CHECK_NOTIFY(&front, number);
        break;
    case FRONT_ROOM:
        number = RING_FREE_REQUESTS(&front);
        break;
    case FRONT_RESPONSES:
        number = XEN_RING_NR_UNCONSUMED_RESPONSES(&front);
        break;
    case FRONT_TAKE:
        RING_COPY_RESPONSE(&front, front.rsp_cons, (RESPONSE *)outcome->message);
        number = front.rsp_cons++;
        break;
    case FRONT_FINAL_CHECK:
        RING_FINAL_CHECK_FOR_RESPONSES(&front, number);
        break;
    case FRONT_WAIT_FOR:
        /* The customised version that the header's comment speaks of. */
        front.sring->rsp_event = front.rsp_cons + operation->number;
        xen_mb();
        number = XEN_RING_NR_UNCONSUMED_RESPONSES(&front) >= operation->number;
        break;
    case FRONT_OVERFLOW:
        number = RING_RESPONSE_PROD_OVERFLOW(&front, operation->number);
        break;
    }
    return number;
}

static uint32_t back_end(const struct operation *operation, struct outcome *outcome)
{
    uint32_t number = 0;

    switch (operation->kind) {
    case BACK_REQUESTS:
        number = XEN_RING_NR_UNCONSUMED_REQUESTS(&back);
        break;
    case BACK_TAKE:
        RING_COPY_REQUEST(&back, back.req_cons, (REQUEST *)outcome->message);
        back.req_cons++;
        break;
    case BACK_PUT:
        memcpy(RING_GET_RESPONSE(&back, back.rsp_prod_pvt), operation->message, sizeof(RESPONSE));
        back.rsp_prod_pvt++;
        break;
    case BACK_PUSH:
        RING_PUSH_RESPONSES_AND_CHECK_NOTIFY(&back, number);
        break;
    case BACK_FINAL_CHECK:
        RING_FINAL_CHECK_FOR_REQUESTS(&back, number);
        break;
    case BACK_OVERFLOW:
        number = RING_REQUEST_PROD_OVERFLOW(&back, operation->number);
        break;
    }
    return number;
}

static uint32_t set_up(const struct operation *operation)
{
    memset(page.bytes, 0, sizeof(page.bytes));
    SHARED_RING_INIT(&page.ring);
    if (operation->kind == INIT) {
        FRONT_RING_INIT(&front, &page.ring, sizeof(page.bytes));
        BACK_RING_INIT(&back, &page.ring, sizeof(page.bytes));
    } else {
        page.ring.req_prod = page.ring.rsp_prod = operation->number;
        page.ring.req_event = page.ring.rsp_event = operation->number + 1;
        FRONT_RING_ATTACH(&front, &page.ring, operation->number, sizeof(page.bytes));
        BACK_RING_ATTACH(&back, &page.ring, operation->number, sizeof(page.bytes));
    }
    return RING_SIZE(&front);
}

int main(void)
{
    struct operation operation;

    while (fread(&operation, sizeof(operation), 1, stdin) == 1) {
        struct outcome outcome = { 0 };

        if (operation.kind <= ATTACH)
            outcome.number = set_up(&operation);
        else if (operation.kind < BACK_REQUESTS)
            outcome.number = front_end(&operation, &outcome);
        else
            outcome.number = back_end(&operation, &outcome);
        memcpy(outcome.page, page.bytes, sizeof(page.bytes));
        fwrite(&outcome, sizeof(outcome), 1, stdout);
    }
    return 0;
}
