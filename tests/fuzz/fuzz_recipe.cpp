// SPDX-License-Identifier: GPL-3.0-or-later
// A recipe as JSON; one that is accepted must survive being written and read again.
#include "core/recipes/recipe.h"

#include <cstdlib>
#include <string_view>

using namespace quantloupe;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const auto recipe = Recipe::fromJson({reinterpret_cast<const char*>(data), size}, "input");
    if (!recipe)
        return 0;
    const auto again = Recipe::fromJson(recipe->toJson(), "again");
    if (!again || !(*again == *recipe))
        std::abort();
    return 0;
}
