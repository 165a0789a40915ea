/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/archive/libarchive_memory.h"
#include "engine/base/list.h"

#include <dlfcn.h>
#include <errno.h>
#include <iconv.h>
#include <link.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * What precedes each block; as large as keeps blocks aligned for all. The link is of large ones,
 * and of small ones that are free.
 */
struct libarchive_block {
	struct list link;
	size_t size;
	max_align_t bytes[];
};

/*
 * The archive that this thread is at, or NULL: what libarchive calls is given no argument that
 * leads to it.
 */
static __thread struct libarchive_memory *memory_now;

/* ---- what libarchive calls ------------------------------------------------------------------- */

/* The block that has BYTES. */
static struct libarchive_block *memory_block(void *bytes)
{
	return (struct libarchive_block *)(void *)((char *)bytes -
						   offsetof(struct libarchive_block, bytes));
}

/* There is no memory: leave libarchive, if that is where we are. */
static void *memory_refuse(struct libarchive_memory *memory)
{
	memory->failed = true;
	if (memory->inside) {
		memory->inside = false;
		_longjmp(memory->jump, 1);
	}
	return NULL;
}

/* A large block of SIZE bytes: its bytes, or NULL. */
static void *memory_large(struct libarchive_memory *memory, size_t size)
{
	struct libarchive_block *block;

	if (size >= PTRDIFF_MAX)
		return NULL;
	memory->bounded |= sizeof(*block) + size >= LIBARCHIVE_BYTES_MAX - memory->bytes;
	block = memory->bounded ? NULL : malloc(sizeof(*block) + size);
	if (!block)
		return NULL;
	block->size = size;
	memory->bytes += sizeof(*block) + size;
	list_append(&memory->blocks, &block->link);
	return block->bytes;
}

/* Is a block of SIZE bytes a small one? */
static bool memory_is_small(const struct libarchive_memory *memory, size_t size)
{
	return size <= memory->small_max && memory->small_max;
}

/* Which of the stacks of free blocks those of SIZE bytes are on. */
static size_t memory_class(size_t size)
{
	return (size + LIBARCHIVE_SMALL_STEP - 1) / LIBARCHIVE_SMALL_STEP;
}

/* A small block of SIZE bytes, one that is free or a new one of a chunk: its bytes, or NULL. */
static void *memory_small(struct libarchive_memory *memory, size_t size)
{
	size_t class = memory_class(size),
	       bytes = sizeof(struct libarchive_block) + class * LIBARCHIVE_SMALL_STEP;
	struct list *link = memory->free[class];
	struct libarchive_block *block;

	if (link) {
		memory->free[class] = link->next;
		block = list_entry(link, struct libarchive_block, link);
	} else {
		if (memory->chunk_left < bytes) {
			memory->chunk = memory_large(memory, LIBARCHIVE_CHUNK_BYTES);
			memory->chunk_left = memory->chunk ? LIBARCHIVE_CHUNK_BYTES : 0;
		}
		if (!memory->chunk)
			return NULL;
		block = (struct libarchive_block *)(void *)memory->chunk;
		memory->chunk += bytes;
		memory->chunk_left -= bytes;
	}
	block->size = size;
	return block->bytes;
}

static void *memory_malloc(size_t size)
{
	struct libarchive_memory *memory = memory_now;
	void *bytes;

	if (!memory)
		return malloc(size);
	bytes = memory_is_small(memory, size) ? memory_small(memory, size)
					      : memory_large(memory, size);
	return bytes ? bytes : memory_refuse(memory);
}

static void *memory_calloc(size_t count, size_t size)
{
	size_t all;
	void *bytes;

	if (!memory_now)
		return calloc(count, size);
	bytes = memory_malloc(__builtin_mul_overflow(count, size, &all) ? SIZE_MAX : all);
	return bytes ? memset(bytes, 0, all) : NULL;
}

static void memory_free(void *bytes)
{
	struct libarchive_memory *memory = memory_now;
	struct libarchive_block *block;

	if (!memory || !bytes) {
		free(bytes);
		return;
	}
	block = memory_block(bytes);
	if (memory_is_small(memory, block->size)) {
		size_t class = memory_class(block->size);

		block->link.next = memory->free[class];
		memory->free[class] = &block->link;
		return;
	}
	list_remove(&block->link);
	memory->bytes -= sizeof(*block) + block->size;
	free(block);
}

static void *memory_realloc(void *bytes, size_t size)
{
	struct libarchive_memory *memory = memory_now;
	size_t before = memory && bytes ? memory_block(bytes)->size : 0;
	void *larger;

	if (!memory)
		return realloc(bytes, size);
	if (bytes && memory_is_small(memory, size) && memory_is_small(memory, before) &&
	    memory_class(size) == memory_class(before)) {
		memory_block(bytes)->size = size;
		return bytes;
	}
	larger = memory_malloc(size);
	if (larger && bytes) {
		memcpy(larger, bytes, MIN(before, size));
		memory_free(bytes);
	}
	return larger;
}

static char *memory_strdup(const char *text)
{
	size_t size = strlen(text) + 1;
	char *copy = memory_malloc(size);

	return copy ? memcpy(copy, text, size) : NULL;
}

/*
 * A conversion holds memory, too; and without one for lack of memory, names would be written as
 * they are.
 */
static iconv_t memory_iconv_open(const char *to, const char *from)
{
	struct libarchive_memory *memory = memory_now;
	iconv_t conversion;

	if (memory && memory->conversions_count == LIBARCHIVE_CONVERSIONS_MAX) {
		errno = EMFILE;
		return (iconv_t)-1;
	}
	conversion = iconv_open(to, from);
	if (memory && conversion != (iconv_t)-1)
		memory->conversions[memory->conversions_count++] = conversion;
	else if (memory && errno == ENOMEM)
		memory_refuse(memory);
	return conversion;
}

static int memory_iconv_close(iconv_t conversion)
{
	struct libarchive_memory *memory = memory_now;

	for (size_t i = 0; memory && i < memory->conversions_count; i++)
		if (memory->conversions[i] == conversion) {
			memory->conversions[i] = memory->conversions[--memory->conversions_count];
			break;
		}
	return iconv_close(conversion);
}

/* ---- replacing libarchive's references to malloc() ------------------------------------------- */

#if __ELF_NATIVE_CLASS == 64
#define MEMORY_SYMBOL(info) ELF64_R_SYM(info)
#else
#define MEMORY_SYMBOL(info) ELF32_R_SYM(info)
#endif

/* Held while the table is changed: of two threads one would protect it while the other writes. */
static pthread_mutex_t memory_lock = PTHREAD_MUTEX_INITIALIZER;

/* A function of the C library, and ours in its place. */
struct memory_function {
	const char *name;
	uintptr_t theirs, ours;
	/* libarchive calls it. */
	bool called;
};

/* What the loader has made read-only of the library at BASE. */
struct memory_relro {
	uintptr_t base, start, end;
};

/* Find it; for dl_iterate_phdr(). */
static int memory_relro(struct dl_phdr_info *info, size_t size, void *data)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	struct memory_relro *relro = data;

	if (info->dlpi_addr != relro->base)
		return 0;
	for (size_t i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_GNU_RELRO) {
			relro->start = (relro->base + info->dlpi_phdr[i].p_vaddr) & ~(page - 1);
			relro->end = (relro->base + info->dlpi_phdr[i].p_vaddr +
				      info->dlpi_phdr[i].p_memsz) &
				     ~(page - 1);
		}
	return 1;
}

/*
 * See whether the library of MAP is bound to what each of the COUNT FUNCTIONS is in the C library,
 * or to ours; with CHANGE, bind it to ours.
 */
static bool memory_bind(const struct link_map *map, struct memory_function *functions, size_t count,
			bool change)
{
	const ElfW(Rela) * tables[2] = {};
	const ElfW(Sym) *symbols = NULL;
	const char *names = NULL;
	size_t sizes[2] = {};
	bool fine = true;

	for (const ElfW(Dyn) *dyn = map->l_ld; dyn->d_tag != DT_NULL; dyn++) {
		/* Some loaders leave addresses relative. */
		const void *at = (const void *)(dyn->d_un.d_ptr +
						(dyn->d_un.d_ptr < map->l_addr ? map->l_addr : 0));

		switch (dyn->d_tag) {
		case DT_SYMTAB:
			symbols = at;
			break;
		case DT_STRTAB:
			names = at;
			break;
		case DT_JMPREL:
			tables[0] = at;
			break;
		case DT_PLTRELSZ:
			sizes[0] = dyn->d_un.d_val / sizeof(ElfW(Rela));
			break;
		case DT_RELA:
			tables[1] = at;
			break;
		case DT_RELASZ:
			sizes[1] = dyn->d_un.d_val / sizeof(ElfW(Rela));
			break;
		case DT_PLTREL:
			fine &= dyn->d_un.d_val == DT_RELA;
			break;
		default:
			break;
		}
	}
	if (!symbols || !names)
		return false;
	for (size_t i = 0; fine && i < 2; i++)
		for (const ElfW(Rela) *rela = tables[i]; rela && rela < tables[i] + sizes[i];
		     rela++) {
			uintptr_t *slot = (uintptr_t *)(map->l_addr + rela->r_offset),
				  symbol = MEMORY_SYMBOL(rela->r_info);

			for (size_t k = 0; symbol && k < count; k++) {
				if (strcmp(names + symbols[symbol].st_name, functions[k].name) != 0)
					continue;
				functions[k].called = true;
				fine &= *slot == functions[k].theirs || *slot == functions[k].ours;
				if (change && *slot != functions[k].ours)
					__atomic_store_n(slot, functions[k].ours, __ATOMIC_RELEASE);
			}
		}
	return fine;
}

/* Let the library of MAP call ours instead of the COUNT FUNCTIONS: all of them, or none. */
static bool memory_exchange(const struct link_map *map, struct memory_function *functions,
			    size_t count)
{
	struct memory_relro relro = { .base = map->l_addr };
	bool fine = memory_bind(map, functions, count, false) &&
		    dl_iterate_phdr(memory_relro, &relro);

	for (size_t i = 0; i < count; i++)
		fine &= functions[i].called ||
			!strncmp(functions[i].name, "iconv", strlen("iconv"));
	if (!fine ||
	    mprotect((void *)relro.start, relro.end - relro.start, PROT_READ | PROT_WRITE) < 0)
		return false;
	memory_bind(map, functions, count, true);
	mprotect((void *)relro.start, relro.end - relro.start, PROT_READ);
	return true;
}

/* Let the loaded libarchive allocate by the functions above; once. Returns whether it does. */
static bool memory_lead(void)
{
	struct memory_function functions[] = {
		{ .name = "malloc", .ours = (uintptr_t)memory_malloc },
		{ .name = "calloc", .ours = (uintptr_t)memory_calloc },
		{ .name = "realloc", .ours = (uintptr_t)memory_realloc },
		{ .name = "strdup", .ours = (uintptr_t)memory_strdup },
		{ .name = "free", .ours = (uintptr_t)memory_free },
		{ .name = "iconv_open", .ours = (uintptr_t)memory_iconv_open },
		{ .name = "iconv_close", .ours = (uintptr_t)memory_iconv_close },
	};
	void *handle = dlopen(LIBARCHIVE_SONAME, RTLD_NOW | RTLD_NOLOAD), *self = NULL;
	struct link_map *map;
	Dl_info info;
	bool led = false;

	if (!handle)
		return false;
	/*
	 * Functions that libarchive calls stay loaded, too. In the program itself there is nothing
	 * to be kept.
	 */
	if (dladdr((void *)memory_malloc, &info))
		self = dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
	if (self)
		dlclose(self);
	for (size_t i = 0; i < ARRAY_SIZE(functions); i++)
		functions[i].theirs = (uintptr_t)dlsym(RTLD_DEFAULT, functions[i].name);
	pthread_mutex_lock(&memory_lock);
	if (dlinfo(handle, RTLD_DI_LINKMAP, &map) == 0)
		led = memory_exchange(map, functions, ARRAY_SIZE(functions));
	pthread_mutex_unlock(&memory_lock);
	dlclose(handle);
	return led;
}

/* ---- what we call ---------------------------------------------------------------------------- */

/* Call a function NAME of libarchive's that returns TYPE; FAILED where memory has. */
#define MEMORY_GUARD(type, name, failing, parameters, ...)           \
	static type guard_##name parameters                          \
	{                                                            \
		type result;                                         \
		if (memory_now->failed || _setjmp(memory_now->jump)) \
			return failing;                              \
		memory_now->inside = true;                           \
		result = memory_now->name(__VA_ARGS__);              \
		memory_now->inside = false;                          \
		return result;                                       \
	}

/* The same of one that returns nothing. */
#define MEMORY_GUARD_VOID(name, parameters, ...)                     \
	static void guard_##name parameters                          \
	{                                                            \
		if (memory_now->failed || _setjmp(memory_now->jump)) \
			return;                                      \
		memory_now->inside = true;                           \
		memory_now->name(__VA_ARGS__);                       \
		memory_now->inside = false;                          \
	}

MEMORY_GUARD(int, archive_entry_acl_next, ARCHIVE_FATAL,
	     (struct archive_entry * entry, int wanted, int *type, int *permset, int *tag, int *id,
	      const char **name),
	     entry, wanted, type, permset, tag, id, name)
MEMORY_GUARD(struct archive_entry *, archive_entry_clear, NULL, (struct archive_entry * entry),
	     entry)
MEMORY_GUARD_VOID(archive_entry_free, (struct archive_entry * entry), entry)
MEMORY_GUARD(const char *, archive_entry_hardlink, NULL, (struct archive_entry * entry), entry)
MEMORY_GUARD(struct archive_entry *, archive_entry_new, NULL, (void))
MEMORY_GUARD(const char *, archive_entry_pathname, NULL, (struct archive_entry * entry), entry)
MEMORY_GUARD_VOID(archive_entry_set_hardlink, (struct archive_entry * entry, const char *path),
		  entry, path)
MEMORY_GUARD_VOID(archive_entry_set_pathname, (struct archive_entry * entry, const char *path),
		  entry, path)
MEMORY_GUARD_VOID(archive_entry_set_symlink, (struct archive_entry * entry, const char *path),
		  entry, path)
MEMORY_GUARD_VOID(archive_entry_sparse_add_entry,
		  (struct archive_entry * entry, la_int64_t offset, la_int64_t length), entry,
		  offset, length)
MEMORY_GUARD(const char *, archive_entry_symlink, NULL, (struct archive_entry * entry), entry)
MEMORY_GUARD_VOID(archive_entry_xattr_add_entry,
		  (struct archive_entry * entry, const char *name, const void *value, size_t size),
		  entry, name, value, size)
MEMORY_GUARD(int, archive_read_data_block, ARCHIVE_FATAL,
	     (struct archive * archive, const void **bytes, size_t *size, la_int64_t *offset),
	     archive, bytes, size, offset)
MEMORY_GUARD(int, archive_read_free, ARCHIVE_FATAL, (struct archive * archive), archive)
MEMORY_GUARD(struct archive *, archive_read_new, NULL, (void))
MEMORY_GUARD(int, archive_read_next_header, ARCHIVE_FATAL,
	     (struct archive * archive, struct archive_entry **entry), archive, entry)
MEMORY_GUARD(int, archive_read_open, ARCHIVE_FATAL,
	     (struct archive * archive, void *data, archive_open_callback *open,
	      archive_read_callback *read, archive_close_callback *close),
	     archive, data, open, read, close)
MEMORY_GUARD(int, archive_read_open_memory, ARCHIVE_FATAL,
	     (struct archive * archive, const void *bytes, size_t size), archive, bytes, size)
MEMORY_GUARD(int, archive_read_support_filter_none, ARCHIVE_FATAL, (struct archive * archive),
	     archive)
MEMORY_GUARD(int, archive_read_support_format_tar, ARCHIVE_FATAL, (struct archive * archive),
	     archive)
MEMORY_GUARD(int, archive_write_close, ARCHIVE_FATAL, (struct archive * archive), archive)
MEMORY_GUARD(la_ssize_t, archive_write_data, ARCHIVE_FATAL,
	     (struct archive * archive, const void *bytes, size_t size), archive, bytes, size)
MEMORY_GUARD(int, archive_write_free, ARCHIVE_FATAL, (struct archive * archive), archive)
MEMORY_GUARD(int, archive_write_header, ARCHIVE_FATAL,
	     (struct archive * archive, struct archive_entry *entry), archive, entry)
MEMORY_GUARD(struct archive *, archive_write_new, NULL, (void))
MEMORY_GUARD(int, archive_write_open, ARCHIVE_FATAL,
	     (struct archive * archive, void *data, archive_open_callback *open,
	      archive_write_callback *write, archive_close_callback *close),
	     archive, data, open, write, close)
MEMORY_GUARD(int, archive_write_set_bytes_in_last_block, ARCHIVE_FATAL,
	     (struct archive * archive, int bytes), archive, bytes)
MEMORY_GUARD(int, archive_write_set_bytes_per_block, ARCHIVE_FATAL,
	     (struct archive * archive, int bytes), archive, bytes)
MEMORY_GUARD(int, archive_write_set_format_pax, ARCHIVE_FATAL, (struct archive * archive), archive)
MEMORY_GUARD(int, archive_write_set_options, ARCHIVE_FATAL,
	     (struct archive * archive, const char *options), archive, options)

int libarchive_begin(struct libarchive *lib, size_t small_max)
{
	int error;

	list_init(&lib->memory.blocks);
	lib->memory.conversions_count = 0;
	lib->memory.inside = lib->memory.failed = lib->memory.bounded = false;
	lib->memory.bytes = lib->memory.chunk_left = 0;
	lib->memory.chunk = NULL;
#ifdef __SANITIZE_ADDRESS__
	/* It is to see each block. */
	small_max = 0;
#endif
	lib->memory.small_max = MIN(small_max, (size_t)LIBARCHIVE_SMALL_MAX);
	memset(lib->memory.free, 0, sizeof(lib->memory.free));
	errno = 0;
	lib->names = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
	/* Where there is no such locale, names are bytes. */
	error = lib->names || errno != ENOMEM ? 0 : -ENOMEM;
	lib->before = uselocale(lib->names);
	if (!memory_lead())
		return error;
#define MEMORY_EXCHANGE(name)         \
	lib->memory.name = lib->name; \
	lib->name = guard_##name;
	LIBARCHIVE_GUARDED(MEMORY_EXCHANGE)
#undef MEMORY_EXCHANGE
	memory_now = &lib->memory;
	return error;
}

void libarchive_end(struct libarchive *lib)
{
	struct list *link;

	memory_now = NULL;
	while (lib->memory.conversions_count)
		iconv_close(lib->memory.conversions[--lib->memory.conversions_count]);
	while ((link = list_pop(&lib->memory.blocks)))
		free(list_entry(link, struct libarchive_block, link));
	uselocale(lib->before);
	if (lib->names)
		freelocale(lib->names);
}
