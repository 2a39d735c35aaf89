/* SPDX-License-Identifier: BSD-3-Clause */
#include "plt.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct object {
	const char *bytes;
	size_t size;
	const ElfW(Phdr) * segments;
	size_t n_segments;
};

/* What the file has at a virtual address; NULL where that is not `size` bytes of it. */
static const void *at(const struct object *o, ElfW(Addr) address, size_t size)
{
	for (size_t i = 0; i < o->n_segments; i++) {
		const ElfW(Phdr) *p = &o->segments[i];

		if (p->p_type != PT_LOAD || address < p->p_vaddr ||
		    address - p->p_vaddr > p->p_filesz ||
		    size > p->p_filesz - (address - p->p_vaddr) || p->p_offset > o->size ||
		    p->p_filesz > o->size - p->p_offset)
			continue;
		return o->bytes + p->p_offset + (address - p->p_vaddr);
	}
	return NULL;
}

struct dynamic {
	ElfW(Addr) symbols, strings, calls, others;
	size_t strings_size, calls_size, others_size, other_size, call_type;
};

static bool read_dynamic(const struct object *o, struct dynamic *d)
{
	const ElfW(Phdr) *p = NULL;

	memset(d, 0, sizeof(*d));
	for (size_t i = 0; i < o->n_segments; i++)
		if (o->segments[i].p_type == PT_DYNAMIC)
			p = &o->segments[i];
	if (!p || p->p_offset % sizeof(void *) || p->p_offset > o->size ||
	    p->p_filesz > o->size - p->p_offset)
		return false;
	const ElfW(Dyn) *dyn = (const void *)(o->bytes + p->p_offset);
	for (size_t i = 0; i < p->p_filesz / sizeof(*dyn) && dyn[i].d_tag != DT_NULL; i++) {
		ElfW(Addr) value = dyn[i].d_un.d_ptr;

		switch (dyn[i].d_tag) {
		case DT_SYMTAB:
			d->symbols = value;
			break;
		case DT_STRTAB:
			d->strings = value;
			break;
		case DT_STRSZ:
			d->strings_size = value;
			break;
		case DT_JMPREL:
			d->calls = value;
			break;
		case DT_PLTRELSZ:
			d->calls_size = value;
			break;
		case DT_PLTREL:
			d->call_type = value;
			break;
		case DT_RELA:
		case DT_REL:
			d->others = value;
			break;
		case DT_RELASZ:
		case DT_RELSZ:
			d->others_size = value;
			break;
		case DT_RELAENT:
		case DT_RELENT:
			d->other_size = value;
			break;
		}
	}
	return d->symbols && d->strings;
}

/* Whether one of the relocations in the table is for the symbol. Rel and Rela begin alike. */
static bool names(const struct object *o, const struct dynamic *d, ElfW(Addr) table, size_t size,
                  size_t entry, const char *symbol)
{
	const char *r = table && entry >= sizeof(ElfW(Rel)) ? at(o, table, size) : NULL;

	for (size_t i = 0; r && size - i >= entry; i += entry) {
		ElfW(Rel) rel;

		memcpy(&rel, r + i, sizeof(rel));
		size_t index = sizeof(rel.r_info) == 8 ? (size_t)((uint64_t)rel.r_info >> 32)
		                                       : (size_t)rel.r_info >> 8;
		const ElfW(Sym) *sym = at(o, d->symbols + index * sizeof(*sym), sizeof(*sym));
		size_t len = strlen(symbol) + 1;

		if (!index || !sym || sym->st_name >= d->strings_size ||
		    len > d->strings_size - sym->st_name)
			continue;
		const char *name = at(o, d->strings + sym->st_name, len);
		if (name && !memcmp(name, symbol, len))
			return true;
	}
	return false;
}

static int look(const struct object *whole, const char *symbol)
{
	struct object o = *whole;
	struct dynamic d;
	const ElfW(Ehdr) *header = (const void *)o.bytes;

	if (o.size < sizeof(*header) || memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 ||
	    header->e_ident[EI_CLASS] != (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32) ||
	    header->e_phentsize != sizeof(*o.segments) || header->e_phoff > o.size ||
	    header->e_phoff % sizeof(void *) ||
	    header->e_phnum > (o.size - header->e_phoff) / sizeof(*o.segments)) {
		errno = ENOEXEC;
		return -1;
	}
	o.segments = (const void *)(o.bytes + header->e_phoff);
	o.n_segments = header->e_phnum;
	if (!read_dynamic(&o, &d)) {
		errno = ENOEXEC;
		return -1;
	}
	size_t call = d.call_type == DT_RELA ? sizeof(ElfW(Rela)) : sizeof(ElfW(Rel));
	return names(&o, &d, d.calls, d.calls_size, call, symbol) ||
	       names(&o, &d, d.others, d.others_size, d.other_size, symbol);
}

int plt_calls(const char *path, const char *symbol)
{
	struct object o;
	struct stat st;
	/* The path is what a process has mapped, of any user's maybe: it may be anything by now. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), r = -1, err;

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0) {
		void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);

		if (map != MAP_FAILED) {
			o = (struct object){.bytes = map, .size = (size_t)st.st_size};
			r = look(&o, symbol);
			err = errno;
			munmap(map, (size_t)st.st_size);
			errno = err;
		}
	} else {
		errno = ENOEXEC;
	}
	err = errno;
	close(fd);
	errno = err;
	return r;
}
