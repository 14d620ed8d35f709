import { App, Validations } from "aws-cdk-lib";
import { AwsSolutionsChecks } from "cdk-nag";
import { readSettings } from "./settings.ts";
import { strongroom } from "./strongroom.ts";

const app = new App();
strongroom(app, readSettings(app.node.tryGetContext("strongroom")));
Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
