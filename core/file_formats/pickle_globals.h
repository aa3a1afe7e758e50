// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/tensor/dtype.h"

#include <optional>
#include <string>
#include <string_view>

namespace quantloupe {

/// What a name of Python in a pickle stands for here. None of them is ever imported or called.
struct PickleGlobal {
    enum class Kind : std::uint8_t {
        Mapping,        ///< dict and its kin
        Storage,        ///< elements of `dtype`; of bytes or of a type that is not read where that is absent
        ElementType,    ///< torch.float16 and the like
        RebuildTensor,  ///< torch._utils._rebuild_tensor
        RebuildTensorV2,
        RebuildTensorV3,   ///< with a dtype of its own
        RebuildParameter,  ///< its first argument
        RebuildFromType,   ///< a function and its arguments, called on behalf of a subclass
        Parameter,         ///< its first argument
        RebuildForeign,    ///< a tensor that is not read
        FirstArgument,     ///< torch.Size and type tags
        ScriptClass,       ///< __torch__.*: of a TorchScript archive
        Harmless,          ///< plain values and classes without weights
        Unknown,           ///< may be named, not called
        RunsCode,          ///< refused where it is named
    };
    Kind kind = Kind::Unknown;
    std::optional<DType> dtype {};
    bool foreign = false;  ///< a storage or element type that is not read
    std::string name {};   ///< "module.name", for messages
};

/// Source: interop notes, section 5.3.
PickleGlobal findPickleGlobal(std::string_view module, std::string_view name);

}  // namespace quantloupe
