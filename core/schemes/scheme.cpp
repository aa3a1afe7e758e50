// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/schemes/scheme.h"

#include "core/schemes/format_traits.h"

namespace quantloupe {

Scheme Scheme::of(Format format)
{
    Scheme scheme;
    scheme.format = format;
    scheme.granularity = traitsOf(format).defaultGranularity;
    return scheme;
}

std::string Scheme::toString() const
{
    const Scheme plain = Scheme::of(format);
    std::string text(nameOf(format));
    const auto append = [&text](std::string_view word) {
        text += ':';
        text += word;
    };
    if (granularity != plain.granularity)
        append(wordOf(granularity));
    if (symmetry != plain.symmetry)
        append(wordOf(symmetry));
    if (range != plain.range)
        append(wordOf(range));
    if (scales != plain.scales)
        append(wordOf(scales));
    for (const Algorithm algorithm : algorithms) {
        text += '+';
        text += nameOf(algorithm);
    }
    return text;
}

}  // namespace quantloupe
