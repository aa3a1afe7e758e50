// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/docks/scheme_menu.h"

#include "widgets/docks/scheme_choices.h"
#include "widgets/workbench/workbench.h"

#include <QMenu>

QStringList commonSchemes(const Workbench& workbench)
{
    QStringList schemes;
    const auto add = [&](const quantloupe::Scheme& scheme) {
        const auto text = QString::fromStdString(scheme.toString());
        if (!schemes.contains(text))
            schemes << text;
    };
    add(workbench.recipe().defaultPlan.weights);
    for (const auto& scheme : workbench.sweep())
        add(scheme);
    for (const auto& rule : workbench.recipe().rules)
        add(rule.plan.weights);
    return schemes;
}

void fillSchemeMenu(QMenu* menu, const Workbench& workbench, const std::function<void(const QString&)>& choose)
{
    menu->clear();
    const auto schemes = commonSchemes(workbench);
    for (const auto& text : schemes)
        QObject::connect(menu->addAction(text), &QAction::triggered, menu, [text, choose] { choose(text); });
    menu->addSeparator();
    for (const auto& group : formatGroups()) {
        auto* formats = menu->addMenu(group.title);
        formats->setToolTipsVisible(true);
        for (const auto format : group.formats) {
            const auto text = wordText(nameOf(format));
            auto* action = formats->addAction(text);
            action->setToolTip(explanationOf(format));
            QObject::connect(action, &QAction::triggered, menu, [text, choose] { choose(text); });
        }
    }
}
